"""A real Slurm on this machine alone, from Debian's packages: no systemd, no root's files touched.

    apt-get install slurmctld slurmd slurm-client munge slurmdbd mariadb-server
    python tests/slurm/cluster.py COMMAND...     # runs COMMAND with a cluster, then stops it

Every file is in one temporary folder, every port is bound to 127.0.0.1 (but slurmdbd 22.05 cannot
be told its address: it listens on all and takes only messages sealed with this munge's key), and
every daemon is a child of this process, stopped by its own process id. One node claims more than
the machine has, so that jobs with real resources are scheduled: partitions `cpu` and `gpu`, fake
GPUs and an account, all named as in slurm/config.yaml. Cgroups are not used: Slurm grants memory
but does not limit it.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

PROGRAMS = (
    "munged",
    "mariadbd",
    "mariadb-install-db",
    "slurmdbd",
    "slurmctld",
    "slurmd",
    "sacctmgr",
    "srun",
)
ACCOUNT = "lab"
GPU_TYPE = "a100"

SLURM_CONF = """\
ClusterName=coresift
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={slurmctld}
SlurmdPort={slurmd}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={slurmdbd}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:{gpu}:{gpus}
PartitionName=cpu Nodes={host} Default=YES State=UP
PartitionName=gpu Nodes={host} State=UP
"""
SLURMDBD_CONF = """\
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={slurmdbd}
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct
"""
GRES_CONF = "NodeName={host} Name=gpu Type={gpu} File={folder}/gpu[1-{gpus}]\n"
SRUN = '#!/bin/sh\nSLURM_CONF={conf} exec {srun} "$@"\n'
INIT_SQL = """\
CREATE DATABASE IF NOT EXISTS slurm_acct;
CREATE OR REPLACE USER 'slurm'@'%' IDENTIFIED BY '{password}';
GRANT ALL ON slurm_acct.* TO 'slurm'@'%';
"""


class ClusterError(RuntimeError):
    """A part of the cluster did not start; the message has its last log lines."""


def missing_programs() -> list[str]:
    """Programs that the cluster needs and this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """Context manager: the daemons run between entry and exit.

    `env` is the environment for Slurm's commands (and Snakemake) to find this cluster.
    """

    def __init__(self, cpus: int = 4, memory_mb: int = 200_000, gpus: int = 2) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.env = {
            **os.environ,
            "PATH": os.pathsep.join([str(self.folder / "bin"), _path()]),
            "SLURM_CONF": str(self.folder / "slurm.conf"),
        }
        self._daemons: list[tuple[str, subprocess.Popen[bytes]]] = []
        names = ("slurmctld", "slurmd", "slurmdbd", "mariadb")
        self._values = {
            **dict(zip(names, _free_ports(len(names)), strict=True)),
            "folder": self.folder,
            "host": socket.gethostname().split(".")[0],
            "user": getpass.getuser(),
            "password": secrets.token_hex(8),
            "cpus": cpus,
            "memory_mb": memory_mb,
            "gpu": GPU_TYPE,
            "gpus": gpus,
        }

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def slurm(self, *command: str) -> str:
        """Output of a Slurm command on this cluster.

        Raises:
            ClusterError: the command failed.
        """
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def cancel_jobs(self) -> None:
        """Cancel every job, whatever its state."""
        self.slurm("scancel", "--user", self._values["user"])

    def _start(self) -> None:
        folder, values = self.folder, self._values
        for name in ("bin", "state", "spool", "database"):
            (folder / name).mkdir()
        # The executor plugin drops SLURM_CONF from a job step's environment.
        srun = folder / "bin/srun"
        srun.write_text(SRUN.format(conf=self.env["SLURM_CONF"], srun=shutil.which("srun")))
        srun.chmod(0o755)
        for name, text in (
            ("slurm.conf", SLURM_CONF),
            ("slurmdbd.conf", SLURMDBD_CONF),
            ("gres.conf", GRES_CONF),
            ("init.sql", INIT_SQL),
        ):
            (folder / name).write_text(text.format(**values))
            (folder / name).chmod(0o600)
        for i in range(values["gpus"]):
            (folder / f"gpu{i + 1}").touch()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self._daemon(
            "munged",
            "--foreground",
            "--force",
            *(
                f"--{option}={folder}/munge.{ending}"
                for option, ending in (
                    ("socket", "socket"),
                    ("key-file", "key"),
                    ("pid-file", "pid"),
                    ("seed-file", "seed"),
                    ("log-file", "log"),
                )
            ),
        )
        self._wait("munged", (folder / "munge.socket").exists)
        user = f"--user={values['user']}"
        self._run(
            "mariadb-install-db", "--no-defaults", user, f"--datadir={folder}/database",
            "--skip-test-db", "--auth-root-authentication-method=socket",
        )  # fmt: skip
        self._daemon(
            "mariadbd", "--no-defaults", user, f"--datadir={folder}/database",
            "--bind-address=127.0.0.1", f"--port={values['mariadb']}",
            f"--socket={folder}/mariadb.socket", f"--pid-file={folder}/mariadb.pid",
            f"--init-file={folder}/init.sql", "--skip-name-resolve",
        )  # fmt: skip
        self._wait("mariadbd", lambda: self._listens("mariadb"))
        self._daemon("slurmdbd", "-D")
        self._wait("slurmdbd", lambda: self._listens("slurmdbd"))
        self._daemon("slurmctld", "-D")
        self._daemon("slurmd", "-D")
        self._wait("slurmd", self._idle)
        self.slurm("sacctmgr", "-i", "add", "account", ACCOUNT)
        self.slurm("sacctmgr", "-i", "add", "user", values["user"], f"account={ACCOUNT}")

    def _run(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("wb") as log:
            subprocess.run(command, env=self.env, stdout=log, stderr=log, timeout=120, check=True)

    def _daemon(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("wb") as log:
            process = subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._daemons.append((command[0], process))

    def _listens(self, name: str) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._values[name])) == 0

    def _idle(self) -> bool:
        try:
            return "idle" in self.slurm("sinfo", "--noheader", "--format=%T")
        except ClusterError:
            return False

    def _wait(self, name: str, ready: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            dead = [daemon for daemon, process in self._daemons if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                logs = "".join(
                    f"\n--- {path.name}\n{path.read_text(errors='replace')[-1500:]}"
                    for path in sorted(self.folder.glob("*.[lo][ou][gt]"))
                )
                raise ClusterError(f"{name} is not ready; ended: {dead}{logs}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Cancel every job, then stop the daemons by their own process ids, last first."""
        if any(name == "slurmd" for name, _ in self._daemons):
            try:
                self.cancel_jobs()
                self._wait("scancel", lambda: not self.slurm("squeue", "--noheader"), 30)
            except ClusterError as error:
                print(error, file=sys.stderr)
        for _, process in reversed(self._daemons):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._daemons.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def main() -> int:
    """Run a command with a cluster."""
    if missing := missing_programs():
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the daemons are stopped then too
    with Cluster() as cluster:
        return subprocess.run(sys.argv[1:] or ["sinfo"], env=cluster.env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
