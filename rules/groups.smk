"""Groupings and features of the pool: files beside it, which nothing but their readers depends on."""

#: A table of each grouping, of all distinct sequences; clusters are of the clean ones.
GROUPINGS = {
    name: (
        out("corpus/clusters.parquet")
        if name == "cluster"
        else out(f"corpus/groupings/{name}.parquet")
    )
    for name in CFG.corpus.groupings
}
REGEXES = {n: g.regex for n, g in CFG.corpus.groups.items() if g.regex is not None}
TABLES = {n: g.table for n, g in CFG.corpus.groups.items() if g.table is not None}


wildcard_constraints:
    grouping="|".join(CFG.corpus.groupings),


rule label:
    input:
        fasta=lambda w: given(SOURCES[w.source]),
    output:
        expand(
            out("corpus/labels/{{grouping}}/{{source}}/{bucket}.arrow"), bucket=BUCKETS
        ),
    log:
        log_of("label-{grouping}-{source}"),
    benchmark:
        bench("label-{grouping}-{source}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
        chunk_bytes=CFG.corpus.chunk_bytes,
    params:
        content=lambda w: fingerprint(SOURCES[w.source]),
        modality=CFG.modality,
        corpus=INGEST,
        regex=lambda w: REGEXES[w.grouping],
        code=code("label"),
    script:
        "../workflow/scripts/label.py"


rule group:
    input:
        parts=expand(
            out("corpus/parts/{source}/{bucket}.arrow"),
            source=sorted(SOURCES),
            bucket=BUCKETS,
        ),
        labels=lambda w: expand(
            out(f"corpus/labels/{w.grouping}/{{source}}/{{bucket}}.arrow"),
            source=sorted(SOURCES) if w.grouping in REGEXES else [],
            bucket=BUCKETS,
        ),
        table=lambda w: [given(TABLES[w.grouping])] if w.grouping in TABLES else [],
    output:
        out("corpus/groupings/{grouping}.parquet"),
    log:
        log_of("group-{grouping}"),
    benchmark:
        bench("group-{grouping}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(60),
    params:
        content=lambda w: (
            fingerprint(TABLES[w.grouping]) if w.grouping in TABLES else None
        ),
        sources=sorted(SOURCES),
        code=code("group"),
    script:
        "../workflow/scripts/group.py"


rule merge_groups:
    input:
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
        groupings=GROUPINGS.values(),
    output:
        table=out("corpus/groups.parquet"),
        counts=out("corpus/groups.json"),
    log:
        log_of("merge_groups"),
    benchmark:
        bench("merge_groups")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(60),
    params:
        names=list(GROUPINGS),
        code=code("merge_groups"),
    script:
        "../workflow/scripts/merge_groups.py"


rule features:
    input:
        expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
    output:
        table=out("corpus/features.parquet"),
        counts=out("corpus/features.json"),
    log:
        log_of("features"),
    benchmark:
        bench("features")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(120),
    params:
        modality=CFG.modality,
        code=code("features"),
    script:
        "../workflow/scripts/features.py"
