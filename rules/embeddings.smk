"""Embeddings of the pool, once a shard, for the selections that compare sequences by them."""

EMBEDDINGS = out(f"influence/embeddings/{CFG.influence.shards}/{{shard}}.safetensors")
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
        states=EMBEDDINGS,
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
