"""The baseline is a row for every kind of task."""

import numpy as np
import pytest
from coresift.tables import conform
from coresift.tasks.baseline import MAX_STEM, N_SEPARATIONS, _windows, baseline, pair_categories
from coresift.tasks.kmers import kmer_frequencies
from coresift.tasks.settings import Task
from coresift.tasks.tables import PREDICTION
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
