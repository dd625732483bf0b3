from coresift.dag.slurm import cancel_run


def test_jobs_of_the_run_are_cancelled_by_its_id(tmp_path, monkeypatch):
    (tmp_path / "scancel").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    (tmp_path / "scancel").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    log = tmp_path / "log"
    log.write_text("host: login\nSLURM run ID: 2bcf900e-3da0\nSelect jobs to execute...\n")
    assert cancel_run([log]) == ["2bcf900e-3da0"]
    assert (tmp_path / "calls").read_text() == "--name=2bcf900e-3da0\n"


def test_a_local_run_asks_nothing_of_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    log = tmp_path / "log"
    log.write_text("Select jobs to execute...\n")
    assert cancel_run([log]) == []
    assert cancel_run([]) == []
