"""Each preset on the files that are to be had: the shipped overlays, counts and traps."""

import numpy as np
import polars as pl
import pytest
import yaml
from coresift.tasks.baseline import baseline
from coresift.tasks.data import read_task
from coresift.tasks.readers.record import TaskDataError
from coresift.tasks.sample import MASKED
from coresift.tasks.settings import Task
from coresift.tasks.structure import dot_bracket_partners
from coresift.tasks.targets import make_targets

#: Task of config/shared_*.yaml -> modality, examples a split, and counts of notes over the splits.
EXPECTED = {
    "type_cls": ("rna", (None, None, 2600), {"skipped_splits": 2400, "dropped_in_test": 347}),
    "modif": ("rna", None, {}),
    "crispr_on": ("rna", (1453, 207, 416), {}),
    "sec_struct": ("rna", (None, None, 473), {"skipped_splits": 8676}),
    "contact_map": ("rna", (285, 30, 63), {"skipped_splits": 84}),
    "dist_map": ("rna", (None, None, 42), {"dropped_in_test": 4}),
    "rbp": ("rna", (None, None, 647), {}),
    "localization": ("protein", None, {}),
    "localization_multi": ("protein", None, {"skipped_labels": 0}),
    "sec_struct_3": ("protein", (None, None, 511), {"skipped_splits": 1444}),
    "ppi_affinity": ("protein", None, {}),
}
SPLITS = ("train", "valid", "test")


@pytest.fixture
def shipped(root, shared_data, monkeypatch):
    """Tasks of the shipped overlays; skips where the data are absent."""
    monkeypatch.chdir(root)
    texts = [(root / f"config/shared_{m}.yaml").read_text() for m in ("rna", "protein")]
    return {
        name: values for text in texts for name, values in yaml.safe_load(text)["tasks"].items()
    }


def test_every_task_is_expected(shipped):
    quick = {name for name, values in shipped.items() if values.get("protocol") == "quick"}
    assert set(shipped) - quick == set(EXPECTED)
    assert quick == {f"{name}_quick" for name in EXPECTED if name != "localization_multi"}


def test_quick_reads_a_part_of_the_same_maps(shipped):
    whole, part = (
        read_task(Task(**shipped[name]), "rna") for name in ("sec_struct", "sec_struct_quick")
    )
    assert set(part.frame["example_id"]) < set(whole.frame["example_id"])
    assert part.split("train").height == 2000
    assert part.split("valid").height == 200
    assert part.split("test").height == whole.split("test").height  # all below 150 nt here


@pytest.mark.parametrize("name", EXPECTED)
def test_a_preset_reads_the_file(shipped, name):
    modality, sizes, notes = EXPECTED[name]
    task = Task(**shipped[name])
    examples = read_task(task, modality)
    found = tuple(examples.split(split).height for split in SPLITS)
    assert min(found) > 0
    for size, expected in zip(found, sizes or found, strict=True):
        assert expected in (None, size)
    for key, n in notes.items():
        assert sum(own.get(key, 0) for own in examples.notes.values()) == n
    targets = make_targets(task, examples.frame, modality)
    assert targets.n_outputs >= 1


def test_labels_mean_what_the_file_says(shipped):
    def targets(name, modality):
        task = Task(**shipped[name])
        examples = read_task(task, modality)
        return make_targets(task, examples.frame, modality), examples

    modif, _ = targets("modif", "rna")
    assert modif.classes[9] == "y_m2,2G"
    assert modif.n_outputs == 12

    contacts, examples = targets("contact_map", "rna")
    masked = 0
    for i in range(examples.frame.height):
        values = contacts.rows[i]
        assert (values == values.T).all()
        assert set(np.unique(values)) <= {MASKED, 0, 1}
        masked += (values == MASKED).all(1).sum()
    assert masked > 0

    distances, examples = targets("dist_map", "rna")
    values = distances.rows[0]
    assert (np.diag(values)[np.diag(values) != MASKED] == 0).all()
    near = values[np.arange(len(values) - 1), np.arange(1, len(values))]
    near = near[near > 0]
    assert 4 < np.median(near) < 7  # neighbours' C1' atoms in a helix: 5 to 6 angstrom

    places, _ = targets("localization_multi", "protein")
    assert places.n_outputs == 10
    assert max(row.sum() for row in places.rows) > 1

    structure, examples = targets("sec_struct_3", "protein")
    test = examples.indices("test")
    assert sum(int((structure.rows[i] != MASKED).sum()) for i in test) == 83_427


def test_swapped_files_are_found(shipped):
    values = shipped["rbp"]
    data = dict(values["data"])
    data["fasta"], data["fasta_b"] = data["fasta_b"], data["fasta"]
    with pytest.raises(ValueError, match=r"are outside the rna alphabet.*swapped"):
        read_task(Task(**values | {"data": data}), "rna")


def test_a_misspelt_column_is_named(shipped):
    values = shipped["sec_struct"]
    for key in ("sequence", "label", "split"):
        data = values["data"] | {key: "misspelt"}
        with pytest.raises(ValueError, match=r"columns missing: \['misspelt'\]; present: .*'id'"):
            read_task(Task(**values | {"data": data}), "rna")


@pytest.mark.parametrize("base", [0, 1])
def test_lists_of_partners_are_the_brackets_of_archive_ii(shared_data, tmp_path, base):
    columns = ["sequence", "structure", "base_pairs"]
    rows = pl.read_parquet(shared_data / "rna_sec_struct/archiveII.parquet", columns=columns)
    rows = rows.filter(pl.col("sequence").str.contains("^[ACGU]+$")).head(60)
    lists = [dot_bracket_partners(text) + base for text in rows["structure"]]
    table = rows.with_columns(partners=pl.Series([list(map(int, p)) for p in lists]))
    table.write_parquet(tmp_path / "t.parquet")
    draw = {"test": 10, "valid": 10}

    def maps(**data):
        values = {"path": str(tmp_path / "t.parquet"), "draw": draw, **data}
        task = Task(kind="pairwise", data=values)
        return make_targets(task, read_task(task, "rna").frame, "rna").rows

    brackets, partners = maps(label="structure"), maps(label="partners", partners_base=base)
    pairs = maps(pairs={"i": "base_pairs", "base": 1})
    for i in range(len(rows)):
        assert (brackets[i] == partners[i]).all()
        assert (brackets[i] == pairs[i]).all()
    with pytest.raises(TaskDataError, match=r"t.parquet: line 2: .* is data.partners_base right"):
        maps(label="partners", partners_base=1 - base)
    with pytest.raises(TaskDataError, match=r"residue \d+ .* is pairs.base right"):
        maps(pairs={"i": "base_pairs", "base": 0})


def test_a_list_of_contacts_is_no_list_of_partners(shared_data):
    path = str(shared_data / "rna_contact" / "spot_rna_2d.parquet")
    data = {"path": path, "label": "contacts_i", "split_names": {"TR": "train", "VL": "valid"},
            "skip_splits": ["TS2", "TS3"], "foreign_letters": "unknown"}  # fmt: skip
    data["split_names"]["TS1"] = "test"

    def load(**more):
        task = Task(kind="pairwise", data=data | more, pairwise={"target": "contact"})
        return make_targets(task, read_task(task, "rna").frame, "rna")

    with pytest.raises(TaskDataError, match=r"spot_rna_2d.parquet:2: .* needs data.partners_base"):
        load()
    with pytest.raises(TaskDataError, match=r"spot_rna_2d.parquet: line 2: residue 0 pairs with"):
        load(partners_base=0)


@pytest.mark.parametrize("name", ["crispr_on", "contact_map", "dist_map", "modif"])
def test_a_baseline_runs(shipped, name):
    metrics, _ = baseline(Task(**shipped[name]), "rna")
    assert np.isfinite(metrics["metrics"][metrics["primary"]]["mean"])
