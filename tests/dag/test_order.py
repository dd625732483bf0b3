"""Jobs that wait without depending."""

from collections import defaultdict

from coresift.dag.order import run_first


class Job:
    def __init__(self, name):
        self.rule = self
        self.name = name


class Dag:
    """What of Snakemake's is used: all jobs ready but the one that depends on the check."""

    def __init__(self, jobs, check, dependent):
        self.needrun_jobs = lambda: iter(jobs)
        self.depending = defaultdict(dict, {check: {dependent: {"file"}}})
        self._n_until_ready = defaultdict(int, {dependent: 1})
        self._ready_jobs = set(jobs) - {dependent}


def test_later_jobs_wait_for_the_first_and_no_others():
    check, train, dependent, other = map(Job, ("check", "train", "train", "other"))
    dag = Dag([other, train, dependent, check], check, dependent)
    run_first(dag, {"check"}, {"train"})
    assert dag.depending[check] == {dependent: {"file"}, train: set()}
    assert dict(dag._n_until_ready) == {dependent: 1, train: 1}
    assert dag._ready_jobs == {check, other}


def test_without_the_first_nothing_waits():
    train, other = Job("train"), Job("other")
    dag = Dag([train, other], None, None)
    run_first(dag, {"check"}, {"train"})
    assert dag._ready_jobs == {train, other}
