"""What happens around a run: its lock, the order of its first jobs, its last words."""

from pathlib import Path

from coresift.dag.locks import hold_run
from coresift.dag.order import run_first
from coresift.dag.slurm import cancel_run
from snakemake.logging import logger

if workflow.is_main_process:  # every rule has asked for its code by now
    PARSED.keep()


onstart:
    hold_run(CFG.run, out(".lock"), CFG.downloads)
    run_first(
        workflow.dag,
        {"check_budgets", "merge_groups", "heldout_sets", "validate_draw"},
        LATER,
    )


onsuccess:
    if any(job.rule.name == "make_report" for job in workflow.dag.jobs):
        logger.info(Path(out("report/verdict.txt")).read_text())


onerror:
    cancel_run(log)
