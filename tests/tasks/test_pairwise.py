"""Kind pairwise from label to metrics: dot-bracket strings and .npy maps."""

import numpy as np
import pytest
import torch
from coresift.models.checkpoint import build_model, save_model
from coresift.tasks import maps as maps_module
from coresift.tasks.data import TaskDataError, read_task
from coresift.tasks.evaluate import evaluate_task
from coresift.tasks.maps import Maps
from coresift.tasks.packed import KeptMaps
from coresift.tasks.settings import Pairwise, Task
from coresift.tasks.structure import dot_bracket_partners, pair_matrix
from coresift.tasks.targets import make_targets
from hypothesis import given
from hypothesis import strategies as st

SMALL = {"blocks": 1, "channels": 8, "dropout": 0.0, "min_separation": 4}


def test_pseudoknots():
    partners = dot_bracket_partners("((.[[.))]]A.a")
    assert partners.tolist() == [7, 6, -1, 9, 8, -1, 1, 0, 4, 3, 12, -1, 10]
    matrix = pair_matrix(partners)
    assert (matrix == matrix.T).all()
    assert matrix.sum() == 10


@given(st.text("()[].", max_size=30))
def test_partners_are_mutual_or_rejected(text):
    try:
        partners = dot_bracket_partners(text)
    except ValueError:
        return
    paired = np.flatnonzero(partners >= 0)
    assert (partners[partners[paired]] == paired).all()
    assert len(paired) == sum(c != "." for c in text)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("((..)", "'\\(' at position 1 is not closed"),
        ("..)..", "'\\)' at position 3 closes nothing"),
        ("..!..", "'!' at position 3 is not dot-bracket"),
        ("(..)", r"a map of \(4, 4\) for a sequence of 5"),
        ("absent.npy", "No such file"),
    ],
)
def test_bad_maps_name_file_and_record(tmp_path, label, message):
    path = tmp_path / "t.csv"
    path.write_text(f'sequence,label,split\nGGACC,"{label}",train\nA,.,valid\nC,.,test\n')
    task = Task(kind="pairwise", data={"path": str(path)})
    with pytest.raises(TaskDataError, match=f"t.csv:2: .*{message}"):
        make_targets(task, read_task(task, "rna").frame, "rna")


def stored(size, *entries):
    """A map of zeros but for some (i, j, value)."""
    values = np.zeros((size, size))
    for i, j, value in entries:
        values[i, j] = value
    return values


@pytest.mark.parametrize(
    ("target", "values", "message"),
    [
        ("contact", stored(5, (1, 3, 2), (3, 1, 2)), r"\[1, 3\] is 2, not 0 or 1; -1 or NaN"),
        ("contact", stored(5, (1, 3, 1)), r"not symmetric: \[1, 3\] is 1, \[3, 1\] is 0"),
        ("structure", stored(5, (2, 2, 0.5)), r"\[2, 2\] is 0.5, not 0 or 1"),
        ("structure", stored(5, (4, 0, np.nan)), r"not symmetric: \[0, 4\] is 0, \[4, 0\] is -1"),
        ("structure", stored(5, (4, 0, -3)), r"\[4, 0\] is -3, not 0 or 1"),
        ("distance", stored(5, (0, 1, -2), (1, 0, -2)), r"\[0, 1\] is -2, not a distance"),
        ("distance", stored(5, (0, 1, 1e39), (1, 0, 1e39)), r"\[0, 1\] is inf, not a distance"),
        ("distance", stored(5, (0, 1, 8.2), (1, 0, 8.0)), r"not symmetric: \[0, 1\] is 8.2"),
        ("distance", stored(5, (0, 1, np.nan)), r"not symmetric: \[0, 1\] is -1"),
    ],
)
@pytest.mark.parametrize("tile", [2, 512])
def test_stored_maps_hold_what_they_claim(tmp_path, monkeypatch, target, values, message, tile):
    monkeypatch.setattr("coresift.tasks.maps.TILE", tile)
    np.save(tmp_path / "m.npy", values)
    maps = Maps([str(tmp_path / "m.npy")], ["GGACC"], "rna", Pairwise(target=target))
    with pytest.raises(TaskDataError, match=rf"m\.npy: {message}"):
        maps.check(0)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float16, np.float64])
def test_stored_maps_that_are_whole(tmp_path, dtype):
    values = stored(5, (0, 4, 1), (4, 0, 1), (2, 2, 1))
    unknown = np.nan if np.dtype(dtype).kind == "f" else -1 if dtype is np.int8 else 0
    values[1, 3], values[3, 1] = unknown, unknown
    np.save(tmp_path / "m.npy", values.astype(dtype))
    maps = Maps([str(tmp_path / "m.npy")], ["GGACC"], "rna", Pairwise(target="contact"))
    maps.check(0)
    assert (maps[0] == np.nan_to_num(values, nan=-1)).all()
    distances = 3 + values * 1e-3  # rounded apart
    np.save(tmp_path / "d.npy", np.triu(distances) + np.tril(distances, -1) * 1.0005)
    Maps([str(tmp_path / "d.npy")], ["GGACC"], "rna", Pairwise(target="distance")).check(0)


@given(st.integers(1, 20), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_kept_maps_come_back_as_they_were(size, unknown, distance, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-1 if unknown else 0, 2, (size, size)).astype(np.float32)
    if distance:
        values *= rng.random((size, size), dtype=np.float32)
    kept = KeptMaps(1 << 20)
    first = kept.get(3, values.copy)
    first[:] = 7  # the caller's own
    found = kept.get(3, lambda: pytest.fail("made again"))
    assert found.dtype == np.float32
    assert (found == values).all()


def test_maps_are_kept_up_to_a_bound():
    made = []
    kept = KeptMaps(2 * 16 * 2)  # two maps of 16 x 16 bits
    for index in (0, 1, 2, 2, 1, 0):
        kept.get(index, lambda i=index: made.append(i) or np.eye(16, dtype=np.float32))
    assert made == [0, 1, 2, 2]


@pytest.mark.parametrize(("maps_mb", "reads"), [(1, 1), (0, 3)])
def test_a_file_is_read_once_where_there_is_room(tmp_path, monkeypatch, maps_mb, reads):
    np.save(tmp_path / "m.npy", stored(5, (0, 4, 1), (4, 0, 1)))
    read = []
    original = maps_module._of_npy
    monkeypatch.setattr(maps_module, "_of_npy", lambda path: read.append(path) or original(path))
    options = Pairwise(target="contact", maps_mb=maps_mb)
    maps = Maps([str(tmp_path / "m.npy")], ["GGACC"], "rna", options)
    assert [maps[0].sum() for _ in range(3)] == [2, 2, 2]
    assert len(read) == reads


def hairpins(n):
    """Random stems: sequence and dot-bracket."""
    rng = np.random.default_rng(0)
    complement = dict(zip("ACGU", "UGCA", strict=True))
    for _ in range(n):
        stem = "".join(rng.choice(list("ACGU"), int(rng.integers(4, 7))))
        loop = "A" * int(rng.integers(3, 6))
        tail = "".join(complement[c] for c in reversed(stem))
        yield stem + loop + tail, "(" * len(stem) + "." * len(loop) + ")" * len(stem)


def write_task(folder, target, n):
    rows = ["sequence,label,split"]
    for i, (sequence, brackets) in enumerate(hairpins(n)):
        label = brackets
        if target != "structure":
            near = pair_matrix(dot_bracket_partners(brackets))
            size = len(sequence)
            steps = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
            distance = np.where(near == 1, 1, steps).astype(np.float32)
            distance[0, 1] = distance[1, 0] = np.nan
            np.save(folder / f"{i}.npy", near if target == "contact" else distance)
            label = f"{i}.npy"
        rows.append(f"{sequence},{label},{('train', 'train', 'valid', 'test')[i % 4]}")
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    return {"path": str(folder / "t.csv")}


@pytest.mark.parametrize("target", ["structure", "contact", "distance"])
def test_each_target_learns(tmp_path, target):
    torch.set_num_threads(1)
    save_model(tmp_path / "m", *build_model("tiny", "rna", 0))
    task = Task(
        kind="pairwise",
        data=write_task(tmp_path, target, 24),
        pairwise={"target": target, **SMALL, "pairs_per_batch": 1500},
        epochs=25,
        batch_size=4,
        learning_rate=1e-2,
    )
    arguments = (tmp_path / "m", task, "rna", [0], 2048, torch.device("cpu"), tmp_path)
    metrics, predictions = evaluate_task(*arguments)
    assert metrics["kind"] == f"pairwise_{target}"
    assert metrics["metrics"][metrics["primary"]]["mean"] > 0.6
    again, same = evaluate_task(*arguments)
    assert metrics == again
    assert predictions.equals(same)
