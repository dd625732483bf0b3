"""Embeddings of the pool, once a shard, for the selections that compare sequences by them."""

EMBEDDINGS = out("influence/embeddings.npy")
EMBEDDINGS_DIGEST = out("influence/embeddings.json")
EMBEDDINGS_SHARD = out(
    f"influence/embeddings/{CFG.influence.shards}/{{shard}}.safetensors"
)
EMBEDDINGS_CROPPED = out(f"cropped/embeddings/{CFG.influence.shards}/{{shard}}.json")


rule embeddings:
    input:
        checkpoint=out("influence/finetuned"),
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
        states=temp(EMBEDDINGS_SHARD),
        cropped=EMBEDDINGS_CROPPED,
    log:
        log_of("embeddings-{shard}"),
    benchmark:
        bench("embeddings-{shard}")
    conda:
        "../envs/torch.yaml"
    threads: CFG.influence.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(240),
    params:
        modality=CFG.modality,
        shards=CFG.influence.shards,
        blocks=CFG.corpus.blocks,
        max_tokens=CFG.influence.max_tokens,
        tokens_per_batch=CFG.influence.tokens_per_batch,
        threads=CFG.influence.threads,
        device=CFG.device,
        cache=out("work/embedded"),
        code=code("embeddings"),
    script:
        "../workflow/scripts/embeddings.py"


# One file in seq_id order, the same bytes whatever the shards; the digest is small enough for Snakemake
# to see that. Shards are of no use afterwards: finished rows are in `cache`.
rule merge_embeddings:
    input:
        expand(EMBEDDINGS_SHARD, shard=SHARDS),
    output:
        states=EMBEDDINGS,
        digest=EMBEDDINGS_DIGEST,
    log:
        log_of("merge_embeddings"),
    benchmark:
        bench("merge_embeddings")
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(120),
    params:
        code=code("merge_embeddings"),
    script:
        "../workflow/scripts/merge_embeddings.py"
