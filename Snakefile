"""coresift: raw FASTA -> coreset -> pretrained models -> a table that says which is best."""

from snakemake.utils import min_version

min_version("9.0")

# Nothing given is the demo; what is given is never mixed with it.
if not (config or workflow.overwrite_configfiles):

    configfile: "config/demo.yaml"


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/download.smk"
include: "rules/corpus.smk"
include: "rules/groups.smk"
include: "rules/split.smk"
include: "rules/finetune.smk"
include: "rules/influence.smk"
include: "rules/targets.smk"
include: "rules/embeddings.smk"
include: "rules/select.smk"
include: "rules/export.smk"
include: "rules/pretrain.smk"
include: "rules/heldout.smk"
include: "rules/evaluate.smk"
include: "rules/nearest.smk"
include: "rules/rows.smk"
include: "rules/describe.smk"
include: "rules/report.smk"
include: "rules/validate.smk"
include: "rules/retrain.smk"
include: "rules/stability.smk"
include: "rules/study.smk"
include: "rules/hooks.smk"


localrules:
    all,
    scores,
    coreset,
    evaluate,
    validate,
    check_budgets,


rule all:
    default_target: True
    input:
        out("report/report.html"),
        expand(out("coresets/{name}/README.md"), name=CORESETS),
        out("coresets/budgets.json"),
        out("corpus/README.md"),


rule scores:
    input:
        out("influence/scores.parquet"),
        [out(f"influence/columns/{score}.json") for score in RANKED_BY],
        [EMBEDDINGS_DIGEST] if CFG.selection.reads_states else [],
        out("influence/summary.json"),
        out("corpus/summary.json"),
        out("influence/agreement.csv"),


rule coreset:
    input:
        expand(out("coresets/{name}/README.md"), name=CORESETS),
        out("coresets/drift.csv"),
        out("corpus/README.md"),
        out("corpus/summary.json"),
        out("coresets/budgets.json"),


rule validate:
    input:
        out("validate/report.html"),
        out("coresets/budgets.json"),


# Given checkpoints, untrained models and baselines on every task: nothing is pretrained or scored.
rule evaluate:
    input:
        out("report/evaluation.csv"),
