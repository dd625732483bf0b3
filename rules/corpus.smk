"""Raw FASTA to distinct, decontaminated sequences in hash buckets."""

from dataclasses import asdict

#: What a leak by k-mers is: defaults are the modality's.
KMERS = CFG.decontaminate.kmer_limits(CFG.modality)
#: Of decontamination, what its method reads.
DECONTAMINATE = CFG.decontaminate.model_dump(
    exclude={
        "kmer": {"enabled", "splits", "identity", "coverage"},
        "mmseqs2": {"enabled", "splits", "k", "containment"},
    }[CFG.decontaminate.method]
) | (asdict(KMERS) if CFG.decontaminate.method == "kmer" else {})


#: What decides what becomes of a record.
INGEST = CFG.corpus.model_dump(
    exclude={
        **dict.fromkeys(
            ("fasta", "buckets", "chunk_bytes", "sample", "cluster", "groups"), True
        ),
        "low_complexity": (
            {"share"} if CFG.corpus.low_complexity.action == "keep" else {}
        ),
    }
)


rule ingest:
    input:
        fasta=lambda w: given(SOURCES[w.source]),
    output:
        parts=expand(out("corpus/parts/{{source}}/{bucket}.arrow"), bucket=BUCKETS),
        rejects=out("corpus/rejects/{source}.parquet"),
        report=out("corpus/ingest/{source}.json"),
    log:
        log_of("ingest-{source}"),
    benchmark:
        bench("ingest-{source}")
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
        code=code("ingest"),
    script:
        "../workflow/scripts/ingest.py"


rule deduplicate:
    input:
        lambda w: expand(
            out("corpus/parts/{source}/{bucket}.arrow"),
            source=SOURCES if w.set == "corpus" else BASE_SOURCES,
            bucket=w.bucket,
        ),
    output:
        out("corpus/distinct/{set}/{bucket}.arrow"),
    log:
        log_of("deduplicate-{set}-{bucket}"),
    benchmark:
        bench("deduplicate-{set}-{bucket}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        blocks=CFG.corpus.blocks,
        code=code("deduplicate"),
    script:
        "../workflow/scripts/deduplicate.py"


rule decontaminate:
    input:
        bucket=out("corpus/distinct/{set}/{bucket}.arrow"),
        protected=out("tasks/protected.parquet"),
    output:
        clean=out("corpus/clean/{set}/{bucket}.parquet"),
        removed=out("corpus/removed/{set}/{bucket}.parquet"),
    log:
        log_of("decontaminate-{set}-{bucket}"),
    benchmark:
        bench("decontaminate-{set}-{bucket}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        modality=CFG.modality,
        options=DECONTAMINATE,
        sample=CFG.corpus.sample,
        seed=CFG.seed,
        code=code("decontaminate"),
    script:
        "../workflow/scripts/decontaminate.py"


if CFG.corpus.cluster is not None:

    rule cluster:
        input:
            expand(out("corpus/clean/corpus/{bucket}.parquet"), bucket=BUCKETS),
        output:
            out("corpus/clusters.parquet"),
        log:
            log_of("cluster"),
        benchmark:
            bench("cluster")
        conda:
            "../envs/corpus.yaml"
        threads: CFG.corpus.cluster.threads
        resources:
            mem_mb=memory(16000),
            runtime=runtime(240),
        params:
            modality=CFG.modality,
            options=CFG.corpus.cluster.model_dump(exclude={"threads"}),
            code=code("cluster"),
        script:
            "../workflow/scripts/cluster.py"


rule summarise_corpus:
    input:
        reports=expand(out("corpus/ingest/{source}.json"), source=SOURCES),
        rejects=expand(out("corpus/rejects/{source}.parquet"), source=SOURCES),
        distinct=expand(out("corpus/distinct/corpus/{bucket}.arrow"), bucket=BUCKETS),
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
        removed=expand(out("corpus/removed/corpus/{bucket}.parquet"), bucket=BUCKETS),
        heldout=expand(out("corpus/heldout/corpus/{bucket}.parquet"), bucket=BUCKETS),
    output:
        summary=out("corpus/summary.json"),
        rejects=out("corpus/rejects.parquet"),
        duplicate_ids=out("corpus/duplicate_ids.tsv"),
        removed=out("corpus/removed.parquet"),
    log:
        log_of("summarise_corpus"),
    benchmark:
        bench("summarise_corpus")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(30),
    params:
        code=code("summarise_corpus"),
    script:
        "../workflow/scripts/summarise_corpus.py"
