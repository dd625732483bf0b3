"""A small copy of the project and ways to run it, for the tests of the real Snakefile."""

import hashlib
import re
import shutil
import sys
from pathlib import Path

import yaml
from coresift.corpus.fasta import read_fasta
from snakemake_runs import snakemake

OPTIONS = ["--cores", "2", "--nolock"]


def small_config():
    training = {"tokens_per_step": 1024, "tokens_per_batch": 1024, "checkpoint_steps": 2}
    training["max_tokens"] = 600
    return {
        "run": "small",
        "modality": "rna",
        "device": "cpu",
        "corpus": {"fasta": ["a.fasta", "b.fasta"], "blocks": 8, "buckets": 2},
        # All is rRNA: the defaults would take most of it.
        "decontaminate": {"k": 15, "containment": 0.5},
        "heldout": {"share": 0.1},
        "subset": {"size": 40, "fasta": ["a.fasta", "b.fasta"]},
        "base": {"warmup_epochs": 1},
        "finetune": training,
        "influence": {"loss": "unmasked", "shards": 2, "tokens_per_batch": 2048},
        "selection": {
            "strategies": ["top_influence", "random_tokens:top_influence"],
            "controls": [],
            "budgets": [40],
            "seeds": [0],
            "cci": {"n_strata": 5},
        },
        "pretrain": {**training, "epochs": 1},
        "tasks": {
            "domain": {
                "kind": "class",
                "epochs": 3,
                "data": {
                    "path": "resources/demo/rna_tasks.fasta.gz",
                    "label_regex": r"domain=(\S+)",
                    "split_regex": r"split=(\S+)",
                },
            }
        },
        "evaluate": {"seeds": [0], "bootstrap": 20, "identity": {"examples": 20}},
    }


def copy_project(source: Path, folder: Path) -> None:
    """Copy what a run needs of the project, and cut small inputs from the demo's."""
    for name in ("rules", "workflow", "resources", "envs", "profiles"):
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source / name, folder / name, ignore=ignore)
    shutil.copy(source / "Snakefile", folder)
    records = list(read_fasta(source / "resources/demo/rna_1.fasta.gz"))
    for name, rows in (("a", records[:100]), ("b", records[90:180]), ("c", records[180:220])):
        text = "".join(f">{header}\n{sequence}\n" for _, header, sequence in rows)
        (folder / f"{name}.fasta").write_text(text)


def touch_all(folder):
    """New times for a folder and all that is in it."""
    for path in (folder, *folder.rglob("*")):
        path.touch()


class Project:
    """A copy of the project with small inputs (`copy_project`), and ways to run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.first_terminal = folder / "terminal.txt"  # of the fixture's run

    def options(self, config, *arguments):
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        return [*OPTIONS, *arguments, "--configfile", str(path)]

    def command(self, config, *arguments):
        return [sys.executable, "-m", "snakemake", *self.options(config, *arguments)]

    def run(self, config, *arguments, check=True):
        done = snakemake(self.options(config, *arguments), self.folder)
        if check and done.returncode:
            raise AssertionError(done.stdout[-3000:] + done.stderr[-6000:])
        return done

    def planned(self, config, *arguments):
        """Rules that a dry run would execute."""
        done = self.run(config, "-n", *arguments)
        text = done.stdout + done.stderr
        return set(re.findall(r"^(?:local)?rule (\w+):$", text, re.M)) - {
            "all",
            "scores",
            "coreset",
            "validate",
        }

    def digests(self, run, patterns=("report/*.csv", "influence/scores.parquet")):
        """Bytes of the final tables."""
        results = self.folder / "results" / run
        found = sorted(p for pattern in patterns for p in results.glob(pattern))
        assert found
        return {
            str(p.relative_to(results)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found
        }
