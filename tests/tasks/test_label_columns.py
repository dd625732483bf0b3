"""Labels of several columns: pairs, coordinates, masks, names; rows left out by their split."""

import numpy as np
import polars as pl
import pytest
from coresift.tasks.data import read_task
from coresift.tasks.readers.record import TaskDataError
from coresift.tasks.sample import MASKED
from coresift.tasks.settings import Task
from coresift.tasks.targets import make_targets

SEQUENCES = ["GGAAACC", "GCAAAGC", "GAAAAUC"]
ROWS = {"sequence": SEQUENCES, "split": ["train", "valid", "test"]}


def load(path, kind, columns, data, **options):
    pl.DataFrame(ROWS | columns).write_parquet(path / "t.parquet")
    task = Task(kind=kind, data={"path": str(path / "t.parquet"), **data}, **options)
    examples = read_task(task, "rna")
    return make_targets(task, examples.frame, "rna"), examples


@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.parametrize("together", [False, True])
def test_pairs_in_columns(tmp_path, base, together):
    pairs = [[[0, 6], [1, 5]], [], [[0, 6]]]
    shifted = [[[i + base, j + base] for i, j in row] for row in pairs]
    unknown = [[3 + base], [], []]
    if together:
        columns, keys = {"p": shifted}, {"i": "p"}
    else:
        columns = {name: [[p[k] for p in row] for row in shifted] for k, name in enumerate("ij")}
        keys = {"i": "i", "j": "j"}
    data = {"pairs": {**keys, "base": base, "unknown": "u"}}
    targets, _ = load(tmp_path, "pairwise", columns | {"u": unknown}, data)
    for row, found, missing in zip(pairs, targets.rows, ([3], [], []), strict=True):
        expected = np.zeros((7, 7))
        for i, j in row:
            expected[i, j] = expected[j, i] = 1
        expected[missing] = expected[:, missing] = MASKED
        assert (found == expected).all()


def test_pairs_as_text(tmp_path):
    columns = {"p": ["[[1, 7], [2, 6]]", "[]", "1,7;2,6"]}
    targets, _ = load(tmp_path, "pairwise", columns, {"pairs": {"i": "p", "base": 1}})
    assert [int(row.sum()) for row in targets.rows] == [4, 0, 4]


@pytest.mark.parametrize(
    ("columns", "pairs", "message"),
    [
        ({"p": [[[0, 7]], [], []]}, {"i": "p"}, "2: residue 7 .* of 7; is pairs.base right"),
        ({"p": [[[1, 7]], [], [[0, 1]]]}, {"i": "p", "base": 1}, "4: residue -1"),
        ({"p": [[[2, 2]], [], []]}, {"i": "p"}, "2: residue 2 .* pairs with itself"),
        ({"p": [[], [[1]], []]}, {"i": "p"}, "line 3: p: 1 numbers are no pairs"),
        ({"p": [[1], [], []], "q": [[2, 3], [], []]}, {"i": "p", "j": "q"}, "line 2: 1 .* in p, 2"),
        ({"p": ["0 x", "", ""]}, {"i": "p"}, "line 2: not whole numbers: '0 x'"),
        ({"p": [[[0.5, 1.0]], [], []]}, {"i": "p"}, "line 2: not whole numbers"),
        ({"p": [None, [[0, 1]], []]}, {"i": "p"}, "line 2: no label"),
    ],
)
def test_pairs_that_cannot_be(tmp_path, columns, pairs, message):
    with pytest.raises(TaskDataError, match=rf"t\.parquet:.*{message}"):
        load(tmp_path, "pairwise", columns, {"pairs": {"base": 0} | pairs})


def test_coordinates_in_columns(tmp_path):
    rng = np.random.default_rng(0)
    atoms = rng.normal(0, 5, (2, 3, 7, 3))
    columns = {
        name: [[None if i == 6 else float(v) for i, v in enumerate(x.ravel())] for x in of_atom]
        for name, of_atom in zip("ab", atoms, strict=True)
    }
    data = {"coordinates": ["a", "b"]}
    pairwise = {"target": "distance"}
    targets, _ = load(tmp_path, "pairwise", columns, data, pairwise=pairwise)
    both = atoms[:, 0]
    between = np.linalg.norm(both[:, None, :, None] - both[None, :, None, :], axis=-1)
    between[:, :, 2] = between[:, :, :, 2] = np.nan  # a number of residue 2 is missing
    found = targets.rows[0]
    known = np.arange(7) != 2
    expected = between[:, :, known][..., known].min((0, 1))
    np.testing.assert_allclose(found[np.ix_(known, known)], expected, rtol=1e-6)
    assert (found[2] == MASKED).all()
    assert (found == found.T).all()
    # A list of 3 a residue is the same; what is no such list is an error.
    nested = {
        name: [[v[i : i + 3] for i in range(0, 21, 3)] for v in x] for name, x in columns.items()
    }
    again, _ = load(tmp_path, "pairwise", nested, data, pairwise=pairwise)
    assert (again.rows[0] == found).all()
    gone = {name: [[None if i == 2 else v for i, v in enumerate(x)] for x in rows]
            for name, rows in nested.items()}  # fmt: skip
    again, _ = load(tmp_path, "pairwise", gone, data, pairwise=pairwise)
    assert (again.rows[0] == found).all()
    for wrong in ([[0.0, 1.0]] * 7, [[[0.0]] * 3] * 7):
        columns_of = dict.fromkeys("ab", [wrong] * 3)
        with pytest.raises(TaskDataError, match=r"line \d: coordinates are not a list of 3"):
            load(tmp_path, "pairwise", columns_of, data, pairwise=pairwise)
    pairwise = {"target": "contact", "contact_angstrom": 4.0}
    contacts, _ = load(tmp_path, "pairwise", columns, data, pairwise=pairwise)
    assert (contacts.rows[0] == np.where(found == MASKED, MASKED, found < 4)).all()
    with pytest.raises(TaskDataError, match=r"coordinates is no label of .*structure"):
        load(tmp_path, "pairwise", columns, data, pairwise={"target": "structure"})
    short = {name: [values[0][:18], *values[1:]] for name, values in columns.items()}
    with pytest.raises(TaskDataError, match=r"2: .*\(6, 6\) for a sequence of 7"):
        load(tmp_path, "pairwise", short, data, pairwise={"target": "distance"})


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("base", [0, 1])
def test_partners_in_a_column(tmp_path, base, as_text):
    partners = [[6, 5, -1, -1, -1, 1, 0], [-1] * 7, [6, -1, -1, -1, -1, -1, 0]]
    rows = [[j + base for j in row] for row in partners]
    columns = {"label": [" ".join(map(str, row)) for row in rows] if as_text else rows}
    targets, _ = load(tmp_path, "pairwise", columns, {"partners_base": base})
    for row, found in zip(partners, targets.rows, strict=True):
        expected = np.zeros((7, 7))
        for i, j in enumerate(row):
            expected[i, j] = j >= 0
        assert (found == expected).all()


def test_absent_partners_are_unpaired_where_residues_begin_at_0(tmp_path):
    columns = {"label": [[6, None, None, None, None, None, 0], [None] * 7, [-1] * 7]}
    targets, _ = load(tmp_path, "pairwise", columns, {"partners_base": 0})
    assert [int(row.sum()) for row in targets.rows] == [2, 0, 0]
    with pytest.raises(TaskDataError, match="line 2: not whole numbers"):
        load(tmp_path, "pairwise", columns, {"partners_base": 1})


CONTACTS = [1, 2, 3, 4, 5, 6, 0]  # as many as the residues


@pytest.mark.parametrize(
    ("row", "base", "message"),
    [
        ([7, 6, 0, 0, 0, 2, 1], 0, r"2: residue 0 pairs with 7, residues are 0 to 6; is data.part"),
        ([6, 5, -1, -1, -1, 1, 0], 1, "2: residue 2 pairs with 5, which does not pair with it"),
        ([7, 0, 0, 0, 0, 0, 0], 1, "2: residue 1 pairs with 7, which does not pair with it"),
        ([8, 0, 0, 0, 0, 0, 0], 1, "2: residue 1 pairs with 8, residues are 1 to 7"),
        ([0, 2, 0, 0, 0, 0, 0], 1, "2: residue 2 pairs with itself"),
        ([-2, -1, -1, -1, -1, -1, -1], 0, "2: residue 0 pairs with -2, residues are 0 to 6"),
        (CONTACTS, 0, "2: residue 0 pairs with 1, which does not pair with it"),
        ([1, 0], 0, r"2: a map of \(2, 2\) for a sequence of 7 residues"),
        (CONTACTS, None, "2: the label is a list of numbers: .* needs data.partners_base"),
        ([-1] * 7, None, "2: the label is a list of numbers: .* needs data.partners_base"),
    ],
)
def test_partners_that_cannot_be(tmp_path, row, base, message):
    columns = {"label": [row, [-1 + (base or 0)] * 7, [-1 + (base or 0)] * 7]}
    with pytest.raises(TaskDataError, match=rf"t\.parquet:.*{message}"):
        load(tmp_path, "pairwise", columns, {"partners_base": base})


def test_base_pairs_are_no_distances(tmp_path):
    options = {"pairwise": {"target": "distance"}}
    with pytest.raises(TaskDataError, match=r"dot-bracket is no label of pairwise.target: dist"):
        load(tmp_path, "pairwise", {"label": ["((...))"] * 3}, {}, **options)
    columns = {"label": [[-1] * 7] * 3}
    with pytest.raises(TaskDataError, match=r"partners is no label of pairwise.target: distance"):
        load(tmp_path, "pairwise", columns, {"partners_base": 0}, **options)


def test_masks_without_blanks_and_several(tmp_path):
    columns = {"label": ["HHHEEEC"] * 3, "a": ["1111110"] * 3, "b": ["0 1 1 1 1 1 1"] * 3}
    targets, _ = load(tmp_path, "token", columns, {"mask": ["a", "b"]}, classes=list("HEC"))
    assert targets.rows[0].tolist() == [MASKED, 0, 0, 1, 1, 1, MASKED]
    with pytest.raises(TaskDataError, match="line 2: a mask of 1 for 7 labels"):
        load(tmp_path, "token", columns | {"a": ["11"] * 3}, {"mask": ["a"]})


def test_named_labels(tmp_path):
    columns = {"label": ["nucleus| cytoplasm", "nucleus", "cytoplasm"]}
    data = {"label_separator": "|"}
    targets, _ = load(tmp_path, "multilabel", columns, data)
    assert targets.classes == ["cytoplasm", "nucleus"]
    assert [row[0].tolist() for row in targets.rows] == [[1, 1], [0, 1], [1, 0]]
    columns["label"][2] = "vacuole"
    with pytest.raises(TaskDataError, match=r"labels \['vacuole'\] are not in"):
        load(tmp_path, "multilabel", columns, data)
    with pytest.raises(ValueError, match="label_separator is for kind multilabel, not class"):
        load(tmp_path, "class", columns, data)


def test_a_column_a_label(tmp_path):
    columns = {"y_m2,2G": [1, 0, 0], "y_D": [0, 1, 0]}
    targets, _ = load(tmp_path, "multilabel", columns, {"label": list(columns)})
    assert targets.classes == list(columns)
    assert [row[0].tolist() for row in targets.rows] == [[1, 0], [0, 1], [0, 0]]


def test_rows_are_left_out_by_their_split_or_label_and_counted(tmp_path):
    more = {
        "sequence": [*SEQUENCES, "GGGG", "CCCC", "UUUU"],
        "split": [*ROWS["split"], "none", "", "train"],
        "label": ["a", "a", "a", "", "a", "a|b"],
    }
    data = {"skip_splits": ["none", ""], "skip_labels": ["*|*"]}
    _, examples = load(tmp_path, "class", more, data)
    assert examples.frame.height == 3
    assert examples.notes == {"none": {"skipped_splits": 2}, "train": {"skipped_labels": 1}}
    for label, pattern in (("[a]", "[a]"), ("a?", "a?"), ("x[a]y", "x[*")):
        named = more | {"label": [*more["label"][:5], label]}
        _, examples = load(tmp_path, "class", named, {**data, "skip_labels": [pattern]})
        assert examples.notes["train"] == {"skipped_labels": 1}
    with pytest.raises(TaskDataError, match=r"line 6: split is None, allowed"):
        load(tmp_path, "class", more, data | {"skip_splits": ["none"]})


def test_a_number_that_is_none_is_no_label(tmp_path):
    columns = {"label": [1.0, float("nan"), 0.0]}
    with pytest.raises(TaskDataError, match=r"line 3: no label"):
        load(tmp_path, "class", columns, {})


def test_letters_of_residues_that_are_not_known_are_no_classes(tmp_path):
    columns = {"label": ["HHEE", "EEHH", "H-EE"]}
    with pytest.raises(ValueError, match="classes: - stand for residues whose label is not known"):
        load(tmp_path, "token", columns, {}, classes=["H", "E", "-"])


def test_too_many_foreign_letters_are_an_error(tmp_path):
    columns = {"sequence": ["MKVL", "GGIA", "CCGU"], "label": ["a", "a", "a"]}
    data = {"foreign_letters": "unknown"}
    with pytest.raises(TaskDataError, match=r"t.parquet: 16.7% of the residues .* \(most: L, I\)"):
        load(tmp_path, "class", columns, data)
    _, examples = load(tmp_path, "class", columns, data | {"max_foreign": 0.5})
    counts = {"sequences_with_foreign_letters": 1, "foreign_letters": 1}
    assert examples.notes == {"train": counts, "valid": counts}
