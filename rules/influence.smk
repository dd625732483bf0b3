"""Sums over D_sub, one scoring job a shard, and their merge."""

#: What the sums over D_sub do not depend on, or are given by wildcard or by name.
FISHER_KEYS = {
    "parameters",
    "loss",
    "curvature",
    "damping",
    "damping_mode",
    "per",
    "variants",
    "targets",
    "shards",
    "fisher_shards",
}
FISHERS = CFG.influence.fishers()
SCORE_SHARDS = out(f"influence/scores/{CFG.influence.shards}/{{shard}}.parquet")
SCORE_CROPPED = out(f"cropped/score/{CFG.influence.shards}/{{shard}}.json")
FISHER_CROPPED = out(
    f"cropped/fisher/{{loss}}/{{kind}}/{CFG.influence.fisher_shards}/{{shard}}.json"
)


wildcard_constraints:
    loss="masked|unmasked",
    kind="[a-z]+",


rule fisher_part:
    input:
        checkpoint=out("influence/finetuned"),
        subset=out("influence/subset.parquet"),
        basis=lambda w: (
            out(f"influence/fisher/{w.loss}/kronecker.safetensors")
            if w.kind == "corrected"
            else []
        ),
    output:
        sums=out(
            "influence/fisher/{loss}/{kind}/"
            f"{CFG.influence.fisher_shards}/{{shard}}.safetensors"
        ),
        cropped=FISHER_CROPPED,
    log:
        log_of("fisher_part-{loss}-{kind}-{shard}"),
    benchmark:
        bench("fisher_part-{loss}-{kind}-{shard}")
    conda:
        "../envs/torch.yaml"
    threads: CFG.influence.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(240),
    params:
        modality=CFG.modality,
        influence=CFG.influence.model_dump(exclude=FISHER_KEYS),
        parameters=lambda w: FISHERS[w.loss][w.kind],
        parts=CFG.influence.fisher_shards,
        seed=CFG.seed,
        device=CFG.device,
        checkpoint=out("work/fisher/{loss}-{kind}-{shard}.safetensors"),
        code=code("fisher_part"),
    script:
        "../workflow/scripts/fisher_part.py"


rule fisher:
    input:
        lambda w: expand(
            out(
                f"influence/fisher/{w.loss}/{w.kind}/"
                f"{CFG.influence.fisher_shards}/{{shard}}.safetensors"
            ),
            shard=range(CFG.influence.fisher_shards),
        ),
    output:
        out("influence/fisher/{loss}/{kind}.safetensors"),
    log:
        log_of("fisher-{loss}-{kind}"),
    benchmark:
        bench("fisher-{loss}-{kind}")
    conda:
        "../envs/torch.yaml"
    threads: CFG.influence.threads
    resources:
        mem_mb=memory(8000),
        runtime=runtime(60),
    params:
        threads=CFG.influence.threads,
        code=code("fisher"),
    script:
        "../workflow/scripts/fisher.py"


rule score:
    input:
        checkpoint=out("influence/finetuned"),
        fisher=[
            out(f"influence/fisher/{loss}/{kind}.safetensors")
            for loss, kinds in FISHERS.items()
            for kind in kinds
        ],
        targets=expand(
            out("influence/targets/{target}.safetensors"), target=CFG.influence.targets
        ),
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
        scores=SCORE_SHARDS,
        cropped=SCORE_CROPPED,
    log:
        log_of("score-{shard}"),
    benchmark:
        bench("score-{shard}")
    conda:
        "../envs/torch.yaml"
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
        scores=expand(SCORE_SHARDS, shard=SHARDS),
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
    output:
        out("influence/scores.parquet"),
    log:
        log_of("merge"),
    benchmark:
        bench("merge")
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=runtime(30),
    params:
        columns=CFG.influence.columns(),
        code=code("merge"),
    script:
        "../workflow/scripts/merge.py"
