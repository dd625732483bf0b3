"""Fisher over D_sub, one scoring job a shard, and their merge."""

FISHER_KEYS = {"damping", "damping_mode", "curvature", "shards"}


rule fisher:
    input:
        checkpoint=out("influence/finetuned"),
        subset=out("influence/subset.parquet"),
    output:
        out("influence/fisher.safetensors"),
    log:
        log_of("fisher"),
    benchmark:
        bench("fisher")
    conda:
        "../envs/coresift.yaml"
    threads: CFG.influence.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(240),
    params:
        modality=CFG.modality,
        influence=CFG.influence.model_dump(exclude=FISHER_KEYS),
        seed=CFG.seed,
        device=CFG.device,
        code=code("fisher"),
    script:
        "../workflow/scripts/fisher.py"


rule score:
    input:
        checkpoint=out("influence/finetuned"),
        fisher=out("influence/fisher.safetensors"),
        pool=lambda w: expand(
            out("corpus/pool/corpus/{bucket}.parquet"),
            bucket=overlapping(
                int(w.shard),
                CFG.influence.shards,
                CFG.corpus.buckets,
                CFG.corpus.blocks,
            ),
        ),
    output:
        out(f"influence/scores/{CFG.influence.shards}/{{shard}}.parquet"),
    log:
        log_of("score-{shard}"),
    benchmark:
        bench("score-{shard}")
    conda:
        "../envs/coresift.yaml"
    threads: CFG.influence.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(240),
    params:
        modality=CFG.modality,
        influence=plain(CFG.influence),
        blocks=CFG.corpus.blocks,
        seed=CFG.seed,
        device=CFG.device,
        cache=out("work/scores"),
        code=code("score"),
    script:
        "../workflow/scripts/score.py"


rule merge:
    input:
        scores=expand(
            out(f"influence/scores/{CFG.influence.shards}/{{shard}}.parquet"),
            shard=SHARDS,
        ),
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
    output:
        scores=out("influence/scores.parquet"),
        summary=out("influence/summary.json"),
        plot=report(
            out("influence/scores.svg"),
            caption="../resources/captions/scores.rst",
            category="Scores",
        ),
    log:
        log_of("merge"),
    benchmark:
        bench("merge")
    conda:
        "../envs/coresift.yaml"
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=runtime(30),
    params:
        code=code("merge"),
    script:
        "../workflow/scripts/merge.py"
