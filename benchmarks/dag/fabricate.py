"""`snakemake --touch` that makes missing outputs: a finished run of empty files, with metadata."""

import sys

from snakemake.cli import main
from snakemake.executors.touch import Executor
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo


def run_job(self, job):
    for path in job.output:
        path.touch_or_create()
    info = SubmittedJobInfo(job=job)
    self.report_job_submission(info)
    self.report_job_success(info)


Executor.run_job = run_job
main(["--touch", "--cores", "1000", "--scheduler", "greedy", "-q", "all", *sys.argv[1:]])
