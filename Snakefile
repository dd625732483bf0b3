"""coresift: raw FASTA -> coreset -> pretrained models -> a table that says which is best."""

from pathlib import Path

from snakemake.logging import logger
from snakemake.utils import min_version

min_version("9.0")

if "run" not in config:

    configfile: "config/demo.yaml"


include: "rules/common.smk"
include: "rules/download.smk"
include: "rules/corpus.smk"
include: "rules/finetune.smk"
include: "rules/influence.smk"
include: "rules/select.smk"
include: "rules/pretrain.smk"
include: "rules/evaluate.smk"
include: "rules/describe.smk"
include: "rules/report.smk"


onsuccess:
    if any(job.rule.name == "make_report" for job in workflow.dag.jobs):
        logger.info(Path(out("report/verdict.txt")).read_text())


onerror:
    cancel_run(log)


localrules:
    all,
    scores,
    coreset,


rule all:
    default_target: True
    input:
        out("report/report.html"),


rule scores:
    input:
        out("influence/scores.parquet"),
        out("influence/summary.json"),
        out("corpus/summary.json"),
        [out("influence/agreement.csv")] if VARIANTS else [],


rule coreset:
    input:
        expand(out("coresets/{name}/coreset.fasta.gz"), name=CORESETS),
        out("coresets/drift.csv"),
        out("corpus/summary.json"),
