"""Data for others: each coreset's folder and the pool's, with their cards."""

#: What of the config shapes the pool, and what is drawn from it.
POOL_SECTIONS = {
    **dict.fromkeys(("run", "modality", "seed", "downloads"), True),
    **dict.fromkeys(("corpus", "decontaminate", "tasks"), True),
    "heldout": {"share", "by", "files", "size"},
}
CORESET_SECTIONS = {
    **POOL_SECTIONS,
    **dict.fromkeys(("device", "subset", "base", "finetune", "influence"), True),
}
#: Scripts that a sequence of the pool goes through, and those behind a coreset.
POOL_SCRIPTS = [
    *("ingest", "deduplicate", "protected", "decontaminate"),
    *(["cluster"] if CFG.corpus.cluster is not None else []),
    *("split", "merge_groups"),
]
CORESET_SCRIPTS = [
    *POOL_SCRIPTS,
    "subset",
    *(["base"] if CFG.base.checkpoint is None else []),
    *(
        "finetune",
        "fisher_part",
        "fisher",
        "score",
        "merge",
        "select",
        "export_coreset",
    ),
]


rule sources:
    input:
        [given(path) for path in SOURCES.values()],
    output:
        out("corpus/sources.json"),
    log:
        log_of("sources"),
    benchmark:
        bench("sources")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=runtime(120),
    params:
        content=[fingerprint(path) for path in SOURCES.values()],
        names=list(SOURCES),
        code=code("sources"),
    script:
        "../workflow/scripts/sources.py"


rule corpus_card:
    input:
        sources=out("corpus/sources.json"),
        summary=out("corpus/summary.json"),
        counts=out("corpus/groups.json"),
        # What its head names beside the pool.
        tables=[out("corpus/features.parquet"), out("corpus/groups.parquet")],
    output:
        out("corpus/README.md"),
    log:
        log_of("corpus_card"),
    benchmark:
        bench("corpus_card")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=runtime(10),
    params:
        config=CFG.portable(POOL_SECTIONS),
        digests={script: code(script) for script in POOL_SCRIPTS},
        code=code("corpus_card"),
    script:
        "../workflow/scripts/corpus_card.py"


rule export_coreset:
    input:
        coreset=out("coresets/{name}/coreset.parquet"),
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
        scores=out("influence/scores.parquet"),
        features=out("corpus/features.parquet"),
        groups=out("corpus/groups.parquet"),
        sources=out("corpus/sources.json"),
        summary=out("corpus/summary.json"),
    output:
        fasta=out("coresets/{name}/coreset.fasta.gz"),
        dataset=out("coresets/{name}/dataset.parquet"),
        ids=out("coresets/{name}/ids.txt"),
        windows=out("coresets/{name}/windows.bed"),
        card=out("coresets/{name}/README.md"),
    log:
        log_of("export_coreset-{name}"),
    benchmark:
        bench("export_coreset-{name}")
    wildcard_constraints:
        name=CORESET_NAME,
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=runtime(60),
    params:
        selection=lambda w: parse_coreset(w.name)[0],
        budget=lambda w: parse_coreset(w.name)[1].setting,
        seed=lambda w: parse_coreset(w.name)[2],
        score=lambda w: (
            CFG.selection.request(parse_coreset(w.name)[0]).score
            or CFG.selection.score
        ),
        groupings=CFG.corpus.groupings,
        config=lambda w: recipe_of(w.name),
        digests=lambda w: {
            script: code(script)
            for script in [*CORESET_SCRIPTS, *features_script(w.name)]
        },
        code=code("export_coreset"),
    script:
        "../workflow/scripts/export_coreset.py"
