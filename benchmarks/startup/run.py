"""CPU seconds that a job of each kind takes before it works, here and in another checkout.

    git worktree add --detach /tmp/before COMMIT
    .venv/bin/python benchmarks/startup/run.py --against /tmp/before

A job is a fresh process: the imports of the rule's script, then the smallest piece of its work (a
step of training, four sequences scored, a head of one epoch), since a library imports much only
when it is first used.
"""

from __future__ import annotations

import argparse
import ast
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {
    "learning_rate": 1e-3, "weight_decay": 0.01, "warmup_fraction": 0.05, "tokens_per_step": 128,
    "tokens_per_batch": 128, "mask_fraction": 0.15, "max_tokens": 64, "clip_norm": 1.0,
    "checkpoint_steps": 10, "threads": 1, "epochs": 1,
}  # fmt: skip
MODEL = """
from coresift.models.checkpoint import build_model, save_model
save_model("model", *build_model("tiny", "rna", 0))
"""
#: What a job has before it, and what it does after its imports; `rows` are four sequences.
COMMON = f"""
import polars as pl, torch
from coresift.models.checkpoint import choose_device, configure_torch
configure_torch(1)
sequences = [letters * 8 for letters in ("ACGU", "GGAC", "UUAG", "CAGA")]
rows = pl.DataFrame({{"seq_id": [f"{{i:032x}}" for i in range(4)], "sequence": sequences}})
rows = rows.with_columns(length=pl.lit(32, pl.Int32), block=pl.lit(0, pl.Int32))
options, cpu = {OPTIONS}, choose_device("cpu")
"""
SCORE = """
influence = Influence(curvature="identity")
model, _, encoder = load_model("model", "rna", influence.max_tokens)
"""
TASK = """
letters = "ACGU"
lines = [f"{letters[i % 4] * (9 + i)},{i % 2},{['train', 'valid', 'test'][i // 4]}" for i in range(12)]
Path("task.csv").write_text("\\n".join(["sequence,label,split", *lines]))
task = Task(kind="class", data={"path": "task.csv"}, epochs=1)
"""
WORK = {
    "score": SCORE + 'score_all(model, encoder, influence, 0, cpu, {}, rows, "cache")',
    "fisher_part": SCORE
    + "engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), cpu)\n"
    'model_hash(model); summing(engine, "diagonal", "head", None)',
    "finetune": 'finetune("model", "rna", rows, 1, options, 0, cpu, "out", "metrics", "work")',
    "pretrain": 'pretrain("tiny", "rna", rows, 128, options, 0, cpu, "out", "metrics", "work")',
    "evaluate": TASK + 'evaluate_task("model", task, "rna", [0], 512, cpu, "store")',
    "baseline": TASK + 'baseline(task, "rna")',
    "embed": 'pooled_states("model", "rna", sequences, 64, 512, cpu, "store")',
}
#: Kinds whose work imports nothing more.
IMPORTS_ONLY = (
    "ingest", "deduplicate", "subset", "select", "merge", "describe_scores", "describe_coresets",
    "results", "make_report",
)  # fmt: skip


def imports(checkout: Path, kind: str) -> str:
    """The import lines of a rule's script."""
    tree = ast.parse((checkout / f"workflow/scripts/{kind}.py").read_text())
    lines = [ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    # As in every script: what `start` sets before the rest is imported.
    return "\n".join([lines[0], "start('log')", *lines[1:]])


def cpu_seconds(checkout: Path, code: str) -> float:
    """User and system seconds of a fresh process in a folder of its own with a model."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "workflow"), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").symlink_to(MODELS[checkout])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        job = [sys.executable, "-c", "from pathlib import Path\n" + code]
        subprocess.run(job, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


MODELS: dict[Path, Path] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", default=[*WORK, *IMPORTS_ONLY])
    arguments = parser.parse_args()
    checkouts = [ROOT] if arguments.against is None else [arguments.against.resolve(), ROOT]
    with tempfile.TemporaryDirectory() as folder:
        for i, checkout in enumerate(checkouts):
            path = Path(folder) / str(i)
            path.mkdir()
            environment = {**os.environ, "PYTHONPATH": str(checkout / "workflow")}
            command = [sys.executable, "-c", MODEL]
            subprocess.run(command, cwd=path, env=environment, check=True, capture_output=True)
            MODELS[checkout] = path / "model"
        print("| kind of job | before, CPU s | after, CPU s | ratio |\n|---|---|---|---|")
        for kind in arguments.kinds:
            times: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
            for _ in range(arguments.repeats + 1):
                for checkout in checkouts:
                    work = COMMON + WORK[kind] if kind in WORK else ""
                    code = imports(checkout, kind) + work
                    times[checkout].append(cpu_seconds(checkout, code))
            # The first run reads files from disk.
            medians = [statistics.median(values[1:]) for values in times.values()]
            cells = (
                [f"{m:.2f}" for m in medians] if len(medians) == 2 else ["", f"{medians[0]:.2f}"]
            )
            ratio = f"{medians[1] / medians[0]:.2f}" if len(medians) == 2 else ""
            print(f"| {kind} | {' | '.join(cells)} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
