"""Identity of test examples to the pool and to train, on tasks of a few sequences."""

import numpy as np
import polars as pl
import pytest
from coresift.tasks.data import read_task
from coresift.tasks.identity import Comparison, binned, identities
from coresift.tasks.readers.settings import Sampled
from coresift.tasks.settings import Task
from coresift.tasks.tables import BINS

HOW = Comparison(examples=100, coverage=0.8, max_tokens=102, seed=0)


def random_sequences(n, length, letters="ACGU", seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), length)) for _ in range(n)]


def mutant(sequence, n):
    """n letters at random places become other ones."""
    change, letters = dict(zip("ACGU", "CGUA", strict=True)), list(sequence)
    for i in np.random.default_rng(n).choice(len(letters), n, replace=False):
        letters[i] = change[letters[i]]
    return "".join(letters)


A, B, C, D, E, F = random_sequences(6, 100)
ROWS = [
    (mutant(A, 5), 0, "train"),
    (F, 1, "train"),
    (D, 1, "valid"),
    (A, 0, "test"),
    (B, 1, "test"),
    (C, 0, "test"),
    (B, 1, "test"),
]
POOL = pl.DataFrame(
    {"seq_id": ["0", "1", "2", "3"], "sequence": [D, "G" * 9 + B, mutant(C, 25), E]}
)


def task_of(folder, rows, **data):
    columns = {"sequence": 0, "partner": 1} if "sequence_b" in data else {"sequence": 0}
    lines = [",".join([*columns, "label", "split"]), *(",".join(map(str, row)) for row in rows)]
    (folder / "t.csv").write_text("\n".join(lines))
    kind = "pair" if "sequence_b" in data else "class"
    return Task(kind=kind, data={"path": str(folder / "t.csv"), **data})


def test_every_distinct_example_has_its_nearest(tmp_path):
    task = task_of(tmp_path, ROWS)
    pool = identities(task, "rna", HOW, [POOL[:1], POOL[1:]])
    assert pool.select("example_id", "nearest", "bin").rows() == [
        ("t.csv:5", None, "none"),
        ("t.csv:6", "1", "above_80"),
        ("t.csv:7", "2", "50_to_80"),
    ]
    assert pool["identity"].to_list() == [None, 1.0, pytest.approx(0.75, abs=0.02)]
    train = identities(task, "rna", HOW, None)
    assert train["distinct"].to_list() == pool["distinct"].to_list()
    assert train["nearest"].to_list() == ["t.csv:2", None, None]
    assert train["identity"][0] == pytest.approx(95 / 99, abs=0.01)


def test_what_a_model_does_not_read_is_not_compared(tmp_path):
    task = task_of(tmp_path, ROWS)
    short = Comparison(examples=100, coverage=0.8, max_tokens=42, seed=0)
    pool = pl.DataFrame({"seq_id": ["beginning", "end"], "sequence": [A[:40] + D, D + B[60:]]})
    found = identities(task, "rna", short, [pool])
    assert found["nearest"].to_list() == ["beginning", None, None]


def test_a_pair_is_as_near_as_the_farther_partner(tmp_path):
    rows = [
        (mutant(A, 5), mutant(B, 20), 0, "train"),
        (E, F, 1, "train"),
        (E, D, 0, "valid"),
        (B, A, 0, "test"),  # both near, each in the other column
        (C, A, 1, "test"),  # C is nowhere
    ]
    task = task_of(tmp_path, rows, sequence="sequence", sequence_b="partner")
    near, far = identities(task, "rna", HOW, None).iter_rows(named=True)
    assert near["identity"] == pytest.approx(0.8, abs=0.02)
    assert far["bin"] == "none"
    pool = pl.DataFrame({"seq_id": ["a", "b"], "sequence": [A, B]})
    assert identities(task, "rna", HOW, [pool])["identity"].to_list() == [1.0, None]


def test_a_partner_of_another_kind_is_in_no_pool_but_in_train(tmp_path):
    x, y, z = random_sequences(3, 60, "ACDEFGHIKLMNPQRSTVWY")
    rows = [(D, x, 0, "train"), (A, y, 1, "train"), (E, y, 1, "valid"), (A, x, 0, "test"),
            (A, z, 1, "test")]  # fmt: skip
    task = task_of(tmp_path, rows, sequence="sequence", sequence_b="partner", modality_b="protein")
    pool = pl.DataFrame({"seq_id": ["a"], "sequence": [A]})
    assert identities(task, "rna", HOW, [pool])["bin"].to_list() == ["above_80"] * 2
    assert identities(task, "rna", HOW, None)["bin"].to_list() == ["above_80", "none"]


def test_the_sample_is_of_the_sequences_whatever_their_order(tmp_path):
    rows = [(s, 0, "test") for s in random_sequences(30, 20, seed=1)]
    rows += [(F, 0, "train"), (E, 0, "valid")]
    few = Comparison(examples=7, coverage=0.8, max_tokens=102, seed=0)
    pool = [pl.DataFrame({"seq_id": [r[0] for r in rows], "sequence": [r[0] for r in rows]})]
    found = [
        set(identities(task_of(tmp_path, order, **{}), "rna", few, pool)["nearest"])
        for order in (rows, rows[::-1])
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 7


def test_bins_have_their_borders():
    values = pl.DataFrame({"x": [None, 0.0, 0.499, 0.5, 0.8, 0.801, 1.0]})
    none, low, middle, high = BINS
    found = values.select(binned(pl.col("x"))).to_series().to_list()
    assert found == [none, low, low, middle, middle, high, high]


def test_a_sampled_task_has_the_numbers_of_its_predictions(tmp_path):
    sequences = random_sequences(30, 40)
    rows = [(s, i % 2, ("train", "valid", "test")[i % 3]) for i, s in enumerate(sequences)]
    task = task_of(tmp_path, rows).model_copy(update={"sample": Sampled(train=4, test=6)})
    frame = read_task(task, "rna").frame.filter(pl.col("split") == "test")
    table = identities(task, "rna", HOW, None)
    assert table.select("distinct", "example_id").rows() == [
        *frame.select("distinct", "example_id").rows()
    ]
