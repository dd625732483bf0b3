"""One process has a lock; its death gives it back."""

import os
import signal
import subprocess
import sys

import pytest
from coresift.dag.locks import Held, hold

HOLDER = """
import subprocess, sys
from coresift.dag.locks import hold
hold(sys.argv[1], "run r")
job = subprocess.Popen(["sleep", "60"])
print(job.pid, flush=True)
sys.stdin.read()
"""


def test_the_holder_is_named_and_a_kill_gives_the_lock_back(tmp_path):
    path = tmp_path / "results/r/.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    job = int(holder.stdout.readline())
    try:
        with pytest.raises(Held, match=rf"run r is held by process {holder.pid} on \S+"):
            hold(path, "run r")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        hold(path, "run r")  # although a job of the killed one goes on
        assert path.read_text().startswith(f"process {os.getpid()} on ")
    finally:
        os.kill(job, signal.SIGKILL)
