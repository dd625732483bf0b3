"""The logger plugin: a line a finished job; failures, of groups too, as Snakemake says them."""

import ast
import inspect
import io
import logging

import pytest
import snakemake_logger_plugin_coresift as plugin
from snakemake.logging import DefaultFilter, DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent


@pytest.fixture
def shown():
    """Send records through the handler, set up as Snakemake does: what is on the terminal."""

    def show(records, **settings):
        given = OutputSettings(show_failed_logs=True, **settings)
        handler = plugin.LogHandler(given, None)
        assert not handler.has_formatter  # both are then Snakemake's own
        assert not handler.has_filter
        handler.setFormatter(DefaultFormatter(given.quiet, given.show_failed_logs))
        handler.addFilter(DefaultFilter(given.quiet, False, given.verbose, given.dryrun, False))
        handler.setStream(io.StringIO())
        for created, (event, message, values) in enumerate(records):
            fields = {"msg": message, "levelno": logging.INFO, "levelname": "INFO", **values}
            record = logging.makeLogRecord({**fields, "event": event, "created": created})
            handler.handle(record)
        return handler.stream.getvalue()

    return show


def started(jobid, rule, **wildcards):
    lists = {"input": [], "output": [f"{rule}.out"], "log": []}
    flags = {"local": False, "is_checkpoint": False, "rule_msg": None, "reason": "new"}
    rest = {"benchmark": None, "priority": 0, "threads": 1, "resources": {}}
    names = {"jobid": jobid, "rule_name": rule, "wildcards": wildcards}
    return LogEvent.JOB_INFO, "", {**names, **lists, **flags, **rest}


def finished(jobid):
    return LogEvent.JOB_FINISHED, f"Finished jobid: {jobid} (Rule: x)", {"job_id": jobid}


def progress(done, total):
    return LogEvent.PROGRESS, "None", {"done": done, "total": total}


RUN = [
    (None, "Building DAG of jobs...", {}),
    (LogEvent.WORKFLOW_STARTED, "", {}),
    (LogEvent.RESOURCES_INFO, "Provided cores: 2", {}),
    (LogEvent.RUN_INFO, "Job stats: ...", {"stats": {"score": 2, "merge": 1, "total": 12}}),
    (None, "Select jobs to execute...", {}),
    (None, "Execute 2 jobs...", {}),
    started(3, "score", shard=0, kind="a"),
    started(4, "merge"),
    finished(4),
    progress(9, 12),
    (None, "Trying to restart job 3.", {}),
    started(3, "score", shard=0, kind="a"),
    started(5, "select", name="x"),
    finished(3),  # a group of two jobs: one progress for both
    finished(5),
    progress(11, 12),
]


def test_one_line_a_job_and_nothing_lost(shown):
    assert shown(RUN).splitlines() == [
        "Building DAG of jobs...",
        "12 jobs",
        " 9 of 12 (75%) merge (1 s)",
        "Trying to restart job 3.",
        "11 of 12 (92%) score shard=0, kind=a (2 s)",
        "11 of 12 (92%) select name=x (2 s)",
    ]


def test_a_dry_run_and_verbose_are_snakemakes_own(shown):
    for settings in ({"dryrun": True}, {"verbose": True}):
        text = shown([*RUN[2:3], started(3, "score", shard=0)], **settings)
        assert "Provided cores: 2" in text
        assert "rule score:\n    output: score.out\n    jobid: 3\n    reason: new" in text


def test_quiet_holds(shown):
    assert shown(RUN, quiet={Quietness.ALL}) == ""


def test_a_failed_group_shows_rules_and_logs(shown, tmp_path):
    log = tmp_path / "score.log"
    log.write_text("ValueError: record 7 of [a.fasta]\n")
    job = {"rule_name": "score", "jobid": 3, "output": ["s"], "log": [str(log)]}
    fields = {"aux_logs": [], "job_error_info": [job], "groupid": "g"}
    text = shown([(LogEvent.GROUP_ERROR, "Error in group g", fields)])
    assert "rule score:" in text
    assert "ValueError: record 7 of [a.fasta]" in text


def test_it_does_not_import_the_library():
    nodes = ast.walk(ast.parse(inspect.getsource(plugin)))
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    assert "snakemake.logging" in modules
    assert not [module for module in modules if module.startswith("coresift")]
