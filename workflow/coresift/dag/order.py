"""Order of jobs without dependency, which Snakemake (9.27.1) has no word for.

An input that is `ancient` would say the same, but once its own rule has to run, Snakemake looks at
nothing behind it: changed settings of what waits would pass in silence.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any


def run_first(dag: Any, first: Set[str], later: Set[str]) -> None:
    """Let the planned jobs of the rules `later` wait for those of `first`; to call in `onstart`.

    Args:
        dag: Snakemake's, planned and not yet started.
    """
    planned = list(dag.needrun_jobs())
    for job in planned:
        if job.rule.name in first:
            for other in planned:
                # What already waits for it, by its inputs, stays as it is.
                if other.rule.name in later and other not in dag.depending[job]:
                    dag.depending[job][other] = set()
                    dag._n_until_ready[other] += 1
                    dag._ready_jobs.discard(other)
