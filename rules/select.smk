"""Coresets: selection x budget x seed."""

from dataclasses import asdict

#: The scores that selections rank by.
RANKED_BY = sorted({score for name in CFG.requests() for score in score_of(name)})

#: What trains, scores or draws waits for check_budgets (`onstart`) and does not depend on it: a new
#: budget is no reason to score.
LATER = {
    *("base", "finetune", "fisher_part", "score", "embeddings", "select", "pretrain"),
    *("untrained", "heldout"),
    *(f"{kind}_{task}" for kind in ("baseline", "evaluate") for task in TASKS),
    *(f"cnn_{task}" for task in CNN_TASKS),
}


rule check_budgets:
    input:
        expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
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
        requests=[drawn(name) for name in CFG.requests()],
        budgets=[*map(str, CFG.budgets())],
        code=code("check_budgets"),
    script:
        "../workflow/scripts/check_budgets.py"


# A score of its own: the table of all is written anew where one is added, or shards are others. The
# digest is small enough for Snakemake to see that it is the same: see `snakemake scores` in the README.
rule column:
    input:
        out("influence/scores.parquet"),
    output:
        table=out("influence/columns/{score}.parquet"),
        digest=out("influence/columns/{score}.json"),
    log:
        log_of("column-{score}"),
    benchmark:
        bench("column-{score}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(10),
    params:
        code=code("column"),
    script:
        "../workflow/scripts/column.py"


rule select:
    input:
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
        score=lambda w: [
            ancient(out(f"influence/columns/{name}.parquet"))
            for name in score_of(w.selection)
        ],
        digest=lambda w: [
            *(out(f"influence/columns/{name}.json") for name in score_of(w.selection)),
            *([EMBEDDINGS_DIGEST] if reads_states(w.selection) else []),
        ],
        features=lambda w: (
            [out("corpus/features.parquet")] if drawn(w.selection)["feature"] else []
        ),
        groups=lambda w: (
            [out("corpus/groups.parquet")] if drawn(w.selection)["by"] else []
        ),
        reference=reference_coreset,
        states=lambda w: [ancient(EMBEDDINGS)] if reads_states(w.selection) else [],
    output:
        out("coresets/{selection}-{budget}-s{seed}/coreset.parquet"),
    log:
        log_of("select-{selection}-{budget}-s{seed}"),
    benchmark:
        bench("select-{selection}-{budget}-s{seed}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=runtime(lambda w: 240 if reads_states(w.selection) else 30),
    params:
        request=lambda w: drawn(w.selection),
        code=code("select"),
    script:
        "../workflow/scripts/select.py"
