"""Coresets: strategy x budget x seed."""

#: What trains, scores or draws waits for check_budgets (`onstart`) and does not depend on it: a new
#: budget is no reason to score.
LATER = {
    *(
        "base",
        "finetune",
        "fisher_part",
        "score",
        "select",
        "pretrain",
        "untrained",
        "heldout",
    ),
    *(f"{kind}_{task}" for kind in ("baseline", "evaluate") for task in TASKS),
}


rule check_budgets:
    input:
        out("corpus/summary.json"),
    output:
        out("coresets/budgets.json"),
    log:
        log_of("check_budgets"),
    benchmark:
        bench("check_budgets")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=runtime(10),
    params:
        selections={name: CFG.selection.resolve(name) for name in CFG.selection.names},
        budgets=CFG.selection.budgets,
        code=code("check_budgets"),
    script:
        "../workflow/scripts/check_budgets.py"


rule select:
    input:
        scores=out("influence/scores.parquet"),
        reference=reference_coreset,
    output:
        out("coresets/{strategy}-{budget}-s{seed}/coreset.parquet"),
    log:
        log_of("select-{strategy}-{budget}-s{seed}"),
    benchmark:
        bench("select-{strategy}-{budget}-s{seed}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=runtime(30),
    params:
        strategy=lambda w: CFG.selection.resolve(w.strategy),
        code=code("select"),
    script:
        "../workflow/scripts/select.py"


rule coreset_fasta:
    input:
        coreset=out("coresets/{name}/coreset.parquet"),
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
    output:
        out("coresets/{name}/coreset.fasta.gz"),
    log:
        log_of("coreset_fasta-{name}"),
    benchmark:
        bench("coreset_fasta-{name}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(30),
    params:
        code=code("coreset_fasta"),
    script:
        "../workflow/scripts/coreset_fasta.py"
