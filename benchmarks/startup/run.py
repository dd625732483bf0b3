"""CPU seconds that a job of each kind takes before it works, here and in another checkout.

    git worktree add --detach /tmp/before COMMIT
    .venv/bin/python benchmarks/startup/run.py --against /tmp/before

A job is a fresh process: the imports of the rule's script, then the smallest piece of its work (a
step of training, four sequences scored, one epoch of a head), since libraries import much only
when they are first used. tests/test_startup.py runs the same jobs.
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
#: Makes the input files of all jobs, in the working folder.
PREPARE = """
from pathlib import Path
from coresift.corpus.ingest import ingest
from coresift.corpus.normalise import Limits
from coresift.models.checkpoint import build_model, save_model

save_model("model", *build_model("tiny", "rna", 0))
records = [f">r{i}\\n{'ACGU'[i % 4] * 30}{'GCA' * (i % 9)}\\n" for i in range(60)]
Path("rna.fasta").write_text("".join(records))
ingest("rna.fasta", "x", ["part"], "rejects", "rna", Limits(30, 1022, 0.1), 8, 1 << 20)
letters, splits = "ACGU", ["train", "valid", "test"]
lines = [f"{letters[i % 4] * (9 + i)},{i % 2},{splits[i // 4]}" for i in range(12)]
Path("task.csv").write_text("\\n".join(["sequence,label,split", *lines]))
"""
TORCH = f"""
import polars as pl
from coresift.models.checkpoint import choose_device, configure_torch
configure_torch(1)
sequences = [letters * 8 for letters in ("ACGU", "GGAC", "UUAG", "CAGA")]
rows = pl.DataFrame({{"seq_id": [f"{{i:032x}}" for i in range(4)], "sequence": sequences}})
rows = rows.with_columns(length=pl.lit(32, pl.Int32), block=pl.lit(0, pl.Int32))
options, cpu = {OPTIONS}, choose_device("cpu")
"""
INFLUENCE = f"""{TORCH}
influence = Influence(curvature="identity")
model, _, encoder = load_model("model", "rna", influence.max_tokens)
"""
TASK = """
task = Task(kind="class", data={"path": "task.csv"}, epochs=1)
"""
#: Script -> what its job does after the imports.
JOBS = {
    "score": f'{INFLUENCE}score_all(model, encoder, influence, 0, cpu, {{}}, {{}}, rows, "cache")',
    "embeddings": f"""{TORCH}
model, _, encoder = load_model("model", "rna", 64, lm_head=False)
embed_shard(EncoderStates(model.base_model, encoder, "mean", 64), rows, 512, "cache")
""",
    "fisher_part": f"""{INFLUENCE}
engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), cpu)
summing(engine, "diagonal", ["head"])()
""",
    "finetune": f'{TORCH}finetune("model", "rna", rows, 1, options, 0, cpu, "out", "log", "work")',
    "pretrain": f'{TORCH}pretrain("tiny", "rna", rows, 128, options, 0, cpu, "out", "log", "work")',
    "untrained": 'save_model("out", *build_model("tiny", "rna", 0))',
    "heldout": f"""{TORCH}
masks, reading = Masks("rna", 0.15, 1, 0), Reading(64, 512)
held_out_losses("model", rows.with_columns(set=pl.lit("pool")), masks, reading, cpu)
""",
    "evaluate": f'{TORCH}{TASK}evaluate_task("model", task, "rna", [0], 512, cpu, "store")',
    "cnn": f'{TORCH}{TASK}evaluate_cnn(task, "rna", [0], 512, cpu)',
    "embed": f'{TORCH}pooled_states("model", "rna", sequences, 64, 512, cpu, "store")',
    "baseline": f'{TASK}baseline(task, "rna")',
    "ingest": 'ingest("rna.fasta", "x", ["p"], "r", "rna", Limits(30, 1022, 0.1), 8, 1 << 20)',
    "deduplicate": 'write_arrow("pool", deduplicate(["part"], 8), SEQUENCE)',
    "heldout_unigram": "",
    "subset": "",
    "select": "",
    "merge": "",
    "describe_scores": "",
    "describe_coresets": "",
    "results": "",
    "make_report": "",
}


def imports(checkout: Path, script: str) -> str:
    """The import lines of a rule's script, and `start` after the first as in every script."""
    tree = ast.parse((checkout / f"workflow/scripts/{script}.py").read_text())
    lines = [ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join([lines[0], 'start("job.log")', *lines[1:]]) + "\n"


def run(code: str, checkout: Path, folder: Path) -> float:
    """CPU seconds, user and system, of a fresh process that runs `code` in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "workflow"), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.PIPE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def job(script: str, checkout: Path, inputs: Path) -> float:
    """CPU seconds of a job on inputs made by `PREPARE`, in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        for path in inputs.iterdir():
            (Path(folder) / path.name).symlink_to(path)
        return run(imports(checkout, script) + JOBS[script], checkout, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", default=list(JOBS))
    arguments = parser.parse_args()
    checkouts = [ROOT] if arguments.against is None else [arguments.against.resolve(), ROOT]
    with tempfile.TemporaryDirectory() as folder:
        inputs = {checkout: Path(folder) / str(i) for i, checkout in enumerate(checkouts)}
        for checkout, path in inputs.items():
            path.mkdir()
            run(PREPARE, checkout, path)
        print("| kind of job | before, CPU s | after, CPU s | ratio |\n|---|---|---|---|")
        # What only one checkout has cannot be compared.
        paths = {s: [c / f"workflow/scripts/{s}.py" for c in checkouts] for s in arguments.kinds}
        for script in (s for s, found in paths.items() if all(p.exists() for p in found)):
            times: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
            for _ in range(arguments.repeats + 1):
                for checkout, path in inputs.items():
                    times[checkout].append(job(script, checkout, path))
            # The first of each may read the libraries from disk.
            medians = [statistics.median(values[1:]) for values in times.values()]
            cells = ["", *(f"{m:.2f}" for m in medians)][-2:]
            ratio = f"{medians[-1] / medians[0]:.2f}" if len(medians) == 2 else ""
            print(f"| {script} | {' | '.join(cells)} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
