"""A run's files as the report reads them, without a run."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from coresift.files import write_json
from coresift.heldout.tables import HELD_OUT_LOSS
from coresift.report.identity import write_by_identity
from coresift.report.notes import notes_table, trainings_table
from coresift.report.results import read_cells, write_results
from coresift.tables import conform, write_table
from coresift.tasks.tables import IDENTITY, PREDICTION

#: Held-out loss and accuracy on the task, by row: cci has more than its lengths, top has less.
ROWS = {
    "cci-10": (1.20, 0.8),
    "top_influence-10": (1.45, 0.6),
    "random-10": (1.30, 0.6),
    "random_length:cci-10": (1.27, 0.6),
    "pool-10": (1.30, 0.6),
    "random_x10-10": (1.30, 0.6),
    "untrained": (1.50, 0.6),
}
N_SEEDS, N_SEQUENCES, N_EXAMPLES = 4, 60, 200
UNIGRAM = 1.38


def _losses(folder, rng):
    """Held-out losses of every model, a sequence's own difficulty shared by all."""
    frame = pl.DataFrame({"seq_id": [f"{i:03d}" for i in range(N_SEQUENCES)]})
    frame = frame.with_columns(set=pl.lit("pool"), n_masked=10, accuracy=0.4)
    difficulty = rng.normal(0, 0.05, N_SEQUENCES)
    models = [
        (f"{row}-s{seed}", loss) for row, (loss, _) in ROWS.items() for seed in range(N_SEEDS)
    ]
    paths = {}
    for name, loss in [*models, ("unigram", UNIGRAM)]:
        own = 0 if name == "unigram" else rng.normal(0, 0.004)
        values = loss + difficulty + own + rng.normal(0, 0.004, N_SEQUENCES)
        paths[name] = folder / f"{name}.parquet"
        table = conform(frame.with_columns(loss=pl.Series(values)), HELD_OUT_LOSS)
        write_table(paths[name], table, HELD_OUT_LOSS)
    groups = frame.select("set", "seq_id").with_columns(
        source=pl.Series(["a", "b"] * (N_SEQUENCES // 2)), near=pl.lit("far")
    )
    groups.write_parquet(folder / "groups.parquet")
    return paths, folder / "groups.parquet"


def _task(folder, rng):
    """Metrics and predictions of every model and of kmer on one task."""
    targets = rng.integers(0, 2, N_EXAMPLES)
    names = [
        (f"{row}-s{seed}", share) for row, (_, share) in ROWS.items() for seed in range(N_SEEDS)
    ]
    files = {}
    for name, share in [*names, ("kmer", 0.7)]:
        run = np.where(rng.random(N_EXAMPLES) < share, targets, 1 - targets)
        frame = pl.DataFrame({"target": targets, "prediction": run}).with_row_index("example_id")
        frame = frame.with_columns(seed=0, position=0, length=1, distinct="example_id")
        files[name] = (folder / f"{name}.json", folder / f"{name}.predictions.parquet")
        right = float((run == targets).mean())
        values = {"accuracy": {"values": [right]}, "macro_f1": {"values": [0.5]}}
        training = [{"seed": 0, "epochs": 4, "best_epoch": 2, "stopped": "patience"}]
        report = {"kind": "class", "primary": "accuracy", "metrics": values, "protocol": "quick"}
        notes = {"train": {"copies": 3, "dropped_in_test": 5}, "test": {"copies": 1}}
        extra = {"notes": notes, "training": [] if name == "kmer" else training}
        write_json(files[name][0], report | extra)
        write_table(files[name][1], conform(frame, PREDICTION), PREDICTION)
    return files


def _identities(folder):
    """Of every other example: 40 are near the pool, 3 of them as good as in it; none near train."""
    frame = pl.DataFrame({"distinct": range(0, N_EXAMPLES, 2)})
    frame = frame.with_columns(example_id=pl.col("distinct").cast(pl.String), nearest=pl.lit("x"))
    values = [*[0.96] * 3, *[0.9] * 32, *[0.7] * 5, *[None] * 60]
    bins = ["above_80"] * 35 + ["50_to_80"] * 5 + ["none"] * 60
    tables = {
        "pool": frame.with_columns(identity=pl.Series(values), bin=pl.Series(bins)),
        "train": frame.with_columns(identity=pl.lit(None), bin=pl.lit("none")),
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.identity", table, IDENTITY)
    return {("toy", name): folder / f"{name}.identity" for name in tables}


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """What rule results writes of these files; with `cells`, `params` and `files`."""
    folder, rng = tmp_path_factory.mktemp("results"), np.random.default_rng(0)
    losses, groups = _losses(folder, rng)
    task, identities = _task(folder, rng), _identities(folder)
    files = SimpleNamespace(
        losses=[*losses.values()],
        groups=groups,
        metrics=[metrics for metrics, _ in task.values()],
        predictions=[predictions for _, predictions in task.values()],
        identities=[*identities.values()],
    )
    params = SimpleNamespace(
        held_out=[*losses], cells=[("toy", name) for name in task],
        bootstrap=300, confidence=0.95, seed=0, modality="rna", identities=[*identities], seen=0.95,
        aimed={},
    )  # fmt: skip
    names = ("csv", "comparisons", "wide", "beside", "markdown", "latex", "bars", "held_out",
             "beside_markdown", "beside_latex", "notes", "trainings", "seen",
             "by_identity")  # fmt: skip
    out = SimpleNamespace(**{name: folder / name for name in names})
    cells = read_cells(files, params)
    seen = write_by_identity(files, params, out)
    notes = pl.concat([notes_table(params.cells, files.metrics), seen])
    write_results(cells, notes, params, out)
    notes.write_csv(out.notes)
    trainings_table(params.cells, files.metrics).write_csv(out.trainings)
    return SimpleNamespace(out=out, cells=cells, params=params, files=files)
