"""How near each task's test examples are to the pool, and to the task's own train split."""

#: Tables by task and what it is held against.
IDENTITIES = {
    (task, against): out(f"tasks/identity/{task}/{against}.parquet")
    for task in (TASKS if CFG.evaluate.identity.enabled else [])
    for against in ("pool", "train")
}


rule nearest:
    input:
        pool=lambda w: (
            expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS)
            if w.against == "pool"
            else []
        ),
        data=lambda w: [given(path) for path in CFG.tasks[w.task].data.files()],
    output:
        out("tasks/identity/{task}/{against}.parquet"),
    log:
        log_of("nearest-{task}-{against}"),
    benchmark:
        bench("nearest-{task}-{against}")
    wildcard_constraints:
        against="pool|train",
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(120),
    params:
        content=lambda w: contents(CFG.tasks[w.task]),
        modality=CFG.modality,
        task=lambda w: {
            **reading_of(CFG.tasks[w.task]),
            "sample": plain(CFG.tasks[w.task].sample),
        },
        how=lambda w: {
            **CFG.evaluate.identity.model_dump(include={"examples", "coverage"}),
            "max_tokens": CFG.tasks[w.task].max_tokens,
            "seed": CFG.seed,
        },
        code=code("nearest"),
    script:
        "../workflow/scripts/nearest.py"
