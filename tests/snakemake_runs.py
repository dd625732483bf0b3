"""Runs of Snakemake; dry ones in processes forked from one that has its libraries loaded.

Half of a dry run is imports. The server of multiprocessing's `forkserver` is a process of its own,
so nothing of a test's (threads, modules, coresift itself) is in the fork. This module must not
import coresift: the copy of a project brings its own.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["snakemake.cli", "pandas", "polars", "pydantic"])
#: Seconds after which a run is given up: a whole one takes 100 to 700, by what else a machine does.
TIMEOUT = 1500


def snakemake(arguments, folder):
    """What `snakemake ARGUMENTS` in a folder exits with and prints."""
    arguments = [*map(str, arguments)]
    if "-n" in arguments:
        return _plan(arguments, folder)
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip


def _plan(arguments, folder):
    with tempfile.TemporaryDirectory() as scratch:
        outputs = [Path(scratch) / name for name in ("stdout", "stderr")]
        process = _FORKS.Process(target=_forked, args=(arguments, folder, outputs))
        process.start()
        process.join(TIMEOUT)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, TIMEOUT)
        texts = [path.read_text() for path in outputs]
    return subprocess.CompletedProcess(arguments, process.exitcode, *texts)


def _forked(arguments, folder, outputs):
    for stream, path in zip((sys.stdout, sys.stderr), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream.fileno())
    os.chdir(folder)
    from snakemake.cli import main

    sys.argv = ["snakemake", *arguments]
    main(arguments)
