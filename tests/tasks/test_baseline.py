"""The baseline is a row for every kind of task."""

import numpy as np
import pytest
from coresift.tables import conform
from coresift.tasks.baseline import (
    MAX_STEM,
    N_SEPARATIONS,
    _windows,
    baseline,
    pair_categories,
)
from coresift.tasks.kmers import kmer_frequencies
from coresift.tasks.settings import Task
from coresift.tasks.tables import PREDICTION
from coresift.tasks.thresholds import THRESHOLDS, moved
from hypothesis import given
from hypothesis import strategies as st

PAIRS = {"AU", "UA", "GC", "CG", "GU", "UG"}
LABELS = {
    "class": lambda s: "rich" if s.count("G") > 5 else "poor",
    "multilabel": lambda s: f"{int(s.count('G') > 5)} {int(s[0] == 'A')}",
    "scalar": lambda s: str(s.count("G")),
    "token": lambda s: "".join("P" if c in "AG" else "Y" for c in s),
    "pair": lambda s: "rich" if s.count("G") > 5 else "poor",
    "pair_scalar": lambda s: str(s.count("G")),
    "structure": lambda s: "((((((((....))))))))",
}


@pytest.mark.parametrize("kind", LABELS)
def test_every_kind_has_a_baseline(tmp_path, kind):
    rng = np.random.default_rng(0)
    rows = ["sequence,partner,label,split"]
    for i in range(80):
        sequence = "".join(rng.choice(list("ACGU"), 20))
        if kind == "structure":
            back = sequence[:8].translate(str.maketrans("ACGU", "UGCA"))[::-1]
            sequence = f"{sequence[:8]}AAAA{back}"
        split = ("train", "train", "valid", "test")[i % 4]
        rows.append(f"{sequence},GGAC,{LABELS[kind](sequence)},{split}")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(rows) + "\n")
    data = {"path": str(path)}
    if kind.startswith("pair"):
        data["sequence_b"] = "partner"
    task = Task(kind="pairwise" if kind == "structure" else kind, data=data)
    metrics, predictions = baseline(task, "rna")
    assert metrics["metrics"][metrics["primary"]]["mean"] > 0.8
    assert conform(predictions, PREDICTION).equals(predictions)
    assert predictions["example_id"].n_unique() == 20


SPLITS = ("train", "valid", "test")
DISTINCT = [f"ACGU{a}{b}" for a in "ACGU" for b in "ACG"]


def write_task(path, rows, header="sequence,label,split"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return {"path": str(path)}


def test_the_constant_row_knows_the_labels_of_train_only(tmp_path):
    splits = ["train"] * 5 + ["valid"] * 2 + ["test"] * 5
    labels = ["a", "b", "b", "c", "a", "c", "c", "a", "b", "a", "c", "c"]
    rows = zip(DISTINCT, labels, splits, strict=True)
    task = Task(kind="class", data=write_task(tmp_path / "c.csv", rows))
    metrics, predictions = baseline(task, "rna", "constant")
    assert metrics["metrics"]["accuracy"]["mean"] == 0.4  # a, the first of the two commonest
    assert predictions["prediction"].unique().to_list() == [0.0]

    values = [1.0, 2.0, 6.0, 0.0, 0.0, 9.0, 9.0, 1.0, 3.0]
    splits = ["train"] * 5 + ["valid"] * 2 + ["test"] * 2
    rows = zip(DISTINCT[:9], values, splits, strict=True)
    task = Task(kind="scalar", data=write_task(tmp_path / "s.csv", rows))
    metrics, predictions = baseline(task, "rna", "constant")
    assert predictions["prediction"].to_list() == pytest.approx([1.8, 1.8])
    assert metrics["metrics"]["rmse"]["mean"] == pytest.approx(np.sqrt((0.8**2 + 1.2**2) / 2))

    rows = [(DISTINCT[i], f'"{a} {b}"', s) for i, (a, b, s) in enumerate(
            [(1, 0, "train"), (0, 0, "train"), (1, 0, "train"), (1, 1, "train"),
             (1, 0, "valid"), (0, 1, "valid"), (0, 1, "test"), (1, 0, "test")])]  # fmt: skip
    task = Task(kind="multilabel", data=write_task(tmp_path / "m.csv", rows))
    _, predictions = baseline(task, "rna", "constant")
    assert sorted(predictions["prediction"].unique()) == [0.25, 0.75]

    rows = [(f"GG{c}AAACCC", "(((...)))", s) for c, s in zip("GAU", SPLITS, strict=True)]
    task = Task(kind="pairwise", data=write_task(tmp_path / "p.csv", rows))
    metrics, _ = baseline(task, "rna", "constant")
    assert metrics["metrics"]["pooled_f1"]["mean"] == 0.0


def test_the_penalty_is_chosen_on_valid(tmp_path):
    rng = np.random.default_rng(0)
    # Two letters and noise as large as the signal, few examples: only a strong penalty helps.
    rows = []
    for i in range(90):
        sequence = "".join(rng.choice(list("ACGU"), 30))
        value = sequence.count("G") / 3 + rng.normal(0, 3)
        rows.append((sequence, value, ("train", "valid", "test")[i % 3]))
    data = write_task(tmp_path / "s.csv", rows)
    metrics, _ = baseline(Task(kind="scalar", metric="rmse", data=data), "rna")
    constant, _ = baseline(Task(kind="scalar", metric="rmse", data=data), "rna", "constant")
    assert metrics["tuned"]["penalty"] > 1
    values = [m["metrics"]["rmse"]["mean"] for m in (metrics, constant)]
    assert values[0] < 1.1 * values[1]


def test_the_threshold_of_base_pairs_is_chosen_on_valid(tmp_path):
    # Every second hairpin is not folded: the pairs' mean target is near one half at most.
    rng = np.random.default_rng(0)
    rows = []
    for i in range(60):
        stem = "".join(rng.choice(list("ACGU"), 6))
        sequence = f"{stem}AAAA{stem.translate(str.maketrans('ACGU', 'UGCA'))[::-1]}"
        folded = (i // 3) % 3 == 0
        structure = "((((((....))))))" if folded else "." * 16
        rows.append((sequence, structure, ("train", "valid", "test")[i % 3]))
    task = Task(kind="pairwise", data=write_task(tmp_path / "p.csv", rows))
    metrics, _ = baseline(task, "rna")
    assert metrics["tuned"]["threshold"] < 0.5
    assert metrics["metrics"]["pooled_f1"]["mean"] > 0.3


def test_moved_probabilities_keep_their_order():
    p = np.linspace(0, 1, 101)
    for threshold in THRESHOLDS:
        q = moved(p, threshold)
        assert (np.diff(q) > 0).all()
        assert q[0] == 0
        assert q[-1] == 1
        # The metrics count what is above one half.
        assert ((q > 0.5) == (p > threshold)).all()


def literal_stem(sequence, i, j):
    def pairs(a, b):
        inside = 0 <= a < len(sequence) and 0 <= b < len(sequence)
        return inside and abs(a - b) > 3 and sequence[a] + sequence[b] in PAIRS

    if not pairs(i, j):
        return 0
    length = 1
    for step in (1, -1):
        k = step
        while pairs(i + k, j - k):
            length, k = length + 1, k + step
    return min(length, MAX_STEM)


@given(st.text("ACGU", min_size=2, max_size=30))
def test_stems_against_a_literal_walk(sequence):
    stems = pair_categories(sequence, "rna") // N_SEPARATIONS
    size = len(sequence)
    assert stems.tolist() == [
        [literal_stem(sequence, i, j) for j in range(size)] for i in range(size)
    ]
    assert not (pair_categories(sequence, "protein") // N_SEPARATIONS).any()


def test_separations_stay_within_their_bins():
    bins = pair_categories("A" * 1024, "protein")[0]
    assert bins[:64].tolist() == list(range(64))
    assert (np.diff(bins) >= 0).all()
    assert bins[-1] < N_SEPARATIONS


def test_windows_are_one_hot():
    x = _windows("ACGA", "ACG").toarray().reshape(4, 15, 3)
    assert x.sum() == 16  # every residue is in every window
    assert x[1, 7].tolist() == [0, 1, 0]  # the middle of the second is C
    assert x[0, 6].tolist() == [0, 0, 0]  # nothing before the first


def test_conjoint_triads():
    rows = kmer_frequencies(["AILK", "XXX"], "protein")
    assert rows.shape == (2, 343)
    # A, I, L, K are of classes 0, 1, 1, 4: the triads 011 and 114.
    assert {int(i): float(rows[0, i]) for i in np.flatnonzero(rows[0])} == {8: 0.5, 60: 0.5}
    assert not rows[1].any()


def test_one_label_of_several_is_one_probability(tmp_path):
    rows = [(s, i // 3 % 2, SPLITS[i % 3]) for i, s in enumerate(DISTINCT)]
    task = Task(kind="multilabel", data=write_task(tmp_path / "m.csv", rows))
    _, predictions = baseline(task, "rna")
    assert predictions.height == sum(split == "test" for _, _, split in rows)
    assert predictions["prediction"].is_between(0, 1).all()


def test_kmers_read_what_models_read(tmp_path):
    """The label is told by a letter beyond `max_tokens` of either sequence alone."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(120):
        first, second = ("".join(rng.choice(list("ACU"), 30)) for _ in range(2))
        end = "G" * 9 if i % 2 else "A" * 9
        rows.append((first + end, second + end, "rich" if i % 2 else "poor", SPLITS[i // 2 % 3]))
    data = write_task(tmp_path / "t.csv", rows, "sequence,partner,label,split")
    for kind, more, n in (("class", {}, 40), ("pair", {"sequence_b": "partner"}, 80)):
        task = Task(kind=kind, data={**data, **more})
        whole, _ = baseline(task, "rna")
        assert whole["metrics"]["accuracy"]["mean"] == 1
        assert not whole["cropped"]["sequences"]
        cropped, _ = baseline(task.model_copy(update={"max_tokens": 32}), "rna")
        assert cropped["metrics"]["accuracy"]["mean"] < 0.8
        assert cropped["cropped"]["sequences"] == cropped["cropped"]["of"] == 3 * n
        assert cropped["notes"]["test"]["cropped_residues"] == 9 * n


def test_a_precision_chooses_no_threshold():
    pairwise = {"target": "contact", "threshold": "valid"}
    with pytest.raises(ValueError, match=r"threshold: valid needs pairwise\.target: structure"):
        Task(kind="pairwise", data={"path": "x"}, pairwise=pairwise)
