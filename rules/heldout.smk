"""Loss of every model on held-out sequences, beside what letter frequencies reach."""

#: What decides the masks, and how a model reads.
MASKS = {
    "modality": CFG.modality,
    "fraction": CFG.heldout.mask_fraction,
    "n_masks": CFG.heldout.n_masks,
    "seed": CFG.seed,
}
#: Tables of the same rows, by model and for the letters' frequencies; none without a held-out set.
HELD_OUT_LOSSES = {
    name: out(f"heldout/losses/{name}.parquet")
    for name in ([*MODELS, "unigram"] if CFG.heldout.sets else [])
}
READING = {
    key: getattr(CFG.heldout, key)
    for key in ("max_tokens", "tokens_per_batch", "precision")
}


rule untrained:
    output:
        directory(out("models/untrained-s{seed}/checkpoint")),
    log:
        log_of("untrained-s{seed}"),
    benchmark:
        bench("untrained-s{seed}")
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(30),
    params:
        modality=CFG.modality,
        preset=CFG.pretrain.preset,
        architecture=architecture(CFG.pretrain.preset),
        max_tokens=CFG.longest_input(CFG.pretrain.max_tokens),
        seed=lambda w: int(w.seed),
        code=code("untrained"),
    script:
        "../workflow/scripts/untrained.py"


rule heldout:
    input:
        checkpoint=checkpoint_of,
        sets=out("heldout/sets.parquet"),
    output:
        losses=out("heldout/losses/{name}.parquet"),
        cropped=out("cropped/heldout/{name}.json"),
    log:
        log_of("heldout-{name}"),
    benchmark:
        bench("heldout-{name}")
    conda:
        "../envs/torch.yaml"
    threads: CFG.evaluate.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(240),
    params:
        checkpoint=content_of,
        masks=MASKS,
        reading=READING,
        threads=CFG.evaluate.threads,
        device=CFG.device,
        code=code("heldout"),
    script:
        "../workflow/scripts/heldout.py"


rule heldout_unigram:
    input:
        out("heldout/sets.parquet"),
    output:
        out("heldout/losses/unigram.parquet"),
    log:
        log_of("heldout_unigram"),
    benchmark:
        bench("heldout_unigram")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        masks=MASKS,
        code=code("heldout_unigram"),
    script:
        "../workflow/scripts/heldout_unigram.py"
