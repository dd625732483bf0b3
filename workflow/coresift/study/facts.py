"""What a study's page says beside its figures: data, configuration, code, machine, checks."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from coresift.dag.machine import processor
from coresift.dag.version import git_commit


def machine_facts() -> dict[str, Any]:
    """Processor, cores and system of this machine."""
    return {
        "processor": processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
    }


def times(benchmarks: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Jobs, and seconds of wall and processor, by rule; only of the files that are there.

    Args:
        benchmarks: Snakemake's benchmark files by rule.
    """
    found: dict[str, dict[str, float]] = {}
    for rule, paths in benchmarks.items():
        rows = [
            pl.read_csv(path, separator="\t", columns=["s", "cpu_time"], null_values=["-", "NA"])
            for path in paths
            if os.path.isfile(path)
        ]
        if rows:
            table = pl.concat(rows, how="vertical_relaxed")
            found[rule] = {
                "jobs": len(rows),
                "wall_s": round(float(table["s"].cast(pl.Float64).sum()), 1),
                "cpu_s": round(float(table["cpu_time"].cast(pl.Float64).sum()), 1),
            }
    return found


def study_facts(
    params: Any,
    summary: Mapping[str, Any],
    sources: Mapping[str, Any],
    validation: Mapping[str, str],
    identity: tuple[pl.DataFrame, pl.DataFrame],
    trainings: pl.DataFrame,
    root: str | Path,
) -> dict[str, Any]:
    """Everything that the page says of a run and its models do not.

    Args:
        params: config (plain data), benchmarks (files by rule), way, damping.
        summary: corpus/summary.json. sources: corpus/sources.json.
        validation: tables of the checks that have been made, by name (CSV).
        identity: of `report.identity.identity_tables`, of the tasks.
        trainings: of `report.notes.trainings_table`, of the tasks.
        root: of the repository.
    """
    seen, by_identity = identity
    return {
        "config": params.config,
        "rounds": list(params.config["study"]["rounds"]),  # in their order, which JSON may lose
        "commit": git_commit(root),
        "machine": machine_facts(),
        "sources": [*sources.values()],
        "pool": {"sequences": summary["pool"], "residues": summary["residues"]},
        "times": times(params.benchmarks),
        "way": params.way,
        "damping": params.damping,
        "validate": {
            name: pl.read_csv(path, infer_schema_length=None).to_dicts()
            for name, path in validation.items()
        },
        "trainings": trainings.to_dicts(),
        "identity": {"seen": seen.to_dicts(), "by_identity": by_identity.to_dicts()},
    }
