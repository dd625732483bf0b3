"""A run on the terminal: one line a finished job; everything else as Snakemake says it.

A logger plugin of Snakemake, `--logger=coresift`, found by this folder's name. Snakemake's own
`--quiet rules` hides which job failed, and its log; so only what is known to be noise is left out
here. It imports nothing of the library: Snakemake loads every plugin before the Snakefile has said
which copy of the library the run is of.
"""

from __future__ import annotations

import re
import sys
from logging import LogRecord
from typing import Any

from snakemake.logging import ColorizingTextHandler, format_percentage, format_wildcards, get_event
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

_NOISE = re.compile(
    r"Select jobs to execute|Execute \d+ jobs|Using shell|Assuming unrestricted|host: "
    r"|Conda environments: ignored|Group jobs: inactive"
)
_DROPPED = (
    LogEvent.WORKFLOW_STARTED,
    LogEvent.RESOURCES_INFO,
    LogEvent.GROUP_INFO,
    LogEvent.JOB_STARTED,
)


class LogHandler(LogHandlerBase, ColorizingTextHandler):
    """Snakemake's handler of the terminal, with one line a job in a real run."""

    writes_to_stream = True
    writes_to_file = False
    # Neither: Snakemake puts its own on, so that --quiet and --show-failed-logs hold here too.
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        stream = sys.stdout if self.common_settings.stdout else sys.stderr
        ColorizingTextHandler.__init__(self, self.common_settings.nocolor, stream)
        self._started: dict[int, dict[str, Any]] = {}
        self._finished: list[str] = []

    def emit(self, record: LogRecord) -> None:
        """Write the record, note it for a later line, or leave it out."""
        event = get_event(record)
        if self.common_settings.dryrun or self.common_settings.verbose:
            ColorizingTextHandler.emit(self, record)
        elif event == LogEvent.JOB_INFO:
            self._started[vars(record)["jobid"]] = vars(record)
        elif event == LogEvent.JOB_FINISHED:
            self._finished.append(self._job(record))
        elif event not in _DROPPED and not (event is None and _NOISE.match(record.getMessage())):
            ColorizingTextHandler.emit(self, record)

    def format(self, record: LogRecord) -> str:
        """The number of jobs, the jobs that have just finished, or what Snakemake says."""
        event = get_event(record)
        if self.common_settings.dryrun or self.common_settings.verbose:
            return super().format(record)
        if event == LogEvent.RUN_INFO:
            return f"{vars(record)['stats']['total']} jobs"
        if event == LogEvent.PROGRESS:
            done, total = vars(record)["done"], vars(record)["total"]
            head = f"{done:{len(str(total))}} of {total} ({format_percentage(done, total)})"
            lines = [f"{head} {job}" for job in self._finished]
            self._finished.clear()
            return "\n".join(lines)
        return super().format(record)

    def _job(self, finished: LogRecord) -> str:
        """`rule key=value (12 s)` of a finished job."""
        started = self._started.pop(vars(finished)["job_id"], None)
        if started is None:  # its start was not logged: --quiet rules
            return finished.getMessage()
        words = [started["rule_name"], format_wildcards(started["wildcards"])]
        seconds = finished.created - started["created"]
        return " ".join([*filter(None, words), f"({seconds:.0f} s)"])
