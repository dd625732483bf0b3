"""What is held out of the pool, and the sets on which every checkpoint is tested."""

#: Names of the held-out files, in an order that is not the config's.
HELD_OUT_FILES = sorted(CFG.heldout.files)


rule split:
    input:
        bucket=out("corpus/clean/{set}/{bucket}.parquet"),
        # Of set base too: what is held out of the corpus is held out everywhere.
        grouping=(
            [GROUPINGS[CFG.held_out_by]]
            if CFG.heldout.share and CFG.held_out_by != "hash"
            else []
        ),
    output:
        pool=out("corpus/pool/{set}/{bucket}.parquet"),
        heldout=out("corpus/heldout/{set}/{bucket}.parquet"),
    log:
        log_of("split-{set}-{bucket}"),
    benchmark:
        bench("split-{set}-{bucket}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        share=CFG.heldout.share,
        seed=CFG.seed,
        code=code("split"),
    script:
        "../workflow/scripts/split.py"


rule heldout_sets:
    input:
        heldout=expand(
            out("corpus/heldout/corpus/{bucket}.parquet"),
            bucket=BUCKETS if CFG.heldout.share else [],
        ),
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
        fasta=[given(CFG.heldout.files[name]) for name in HELD_OUT_FILES],
    output:
        sets=out("heldout/sets.parquet"),
        report=out("heldout/files.json"),
    log:
        log_of("heldout_sets"),
    benchmark:
        bench("heldout_sets")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(120),
    params:
        content=[fingerprint(CFG.heldout.files[name]) for name in HELD_OUT_FILES],
        names=HELD_OUT_FILES,
        modality=CFG.modality,
        # Blocks, the unit of batching, do not change what a file gives.
        corpus=(
            {k: v for k, v in INGEST.items() if k != "blocks"}
            if HELD_OUT_FILES
            else None
        ),
        size=CFG.heldout.size,
        k=KMERS.k,
        seed=CFG.seed,
        code=code("heldout_sets"),
    script:
        "../workflow/scripts/heldout_sets.py"


rule heldout_groups:
    input:
        sets=out("heldout/sets.parquet"),
        groupings=GROUPINGS.values(),
    output:
        out("heldout/groups.parquet"),
    log:
        log_of("heldout_groups"),
    benchmark:
        bench("heldout_groups")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        names=list(GROUPINGS),
        near=CFG.heldout.near,
        code=code("heldout_groups"),
    script:
        "../workflow/scripts/heldout_groups.py"
