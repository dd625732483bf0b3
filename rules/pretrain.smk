"""Pretraining from scratch on every coreset."""

#: Selections that show what residues of training alone do: they always have those of their budget.
EQUAL_RESIDUES = {"pool", "random_x10"}
VALIDATED = CFG.heldout.share > 0 and CFG.pretrain.validation_points > 0


rule pretrain:
    input:
        coreset=out("coresets/{name}/coreset.parquet"),
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
        corpus=out("corpus/summary.json"),
        heldout=expand(
            out("corpus/heldout/corpus/{bucket}.parquet"),
            bucket=BUCKETS if VALIDATED else [],
        ),
    output:
        checkpoint=directory(out("models/{name}/checkpoint")),
        metrics=out("models/{name}/metrics.jsonl"),
        cropped=out("cropped/pretrain/{name}.json"),
    log:
        log_of("pretrain-{name}"),
    benchmark:
        bench("pretrain-{name}")
    wildcard_constraints:
        name=CORESET_NAME,
    conda:
        "../envs/torch.yaml"
    threads: CFG.pretrain.threads
    resources:
        **GPU,
        mem_mb=memory(16000),
        runtime=runtime(1440),
        checkpoint_steps=CFG.pretrain.checkpoint_steps,
    params:
        modality=CFG.modality,
        options=CFG.pretrain.model_dump(exclude={"compute", *INERT})
        | {"max_tokens": CFG.longest_input(CFG.pretrain.max_tokens)},
        compute=lambda w: (
            "equal_tokens"
            if parse_coreset(w.name)[0] in EQUAL_RESIDUES
            else CFG.pretrain.compute
        ),
        architecture=architecture(CFG.pretrain.preset),
        budget=lambda w: str(parse_coreset(w.name)[1]),
        seed=lambda w: parse_coreset(w.name)[2],
        heldout_seed=CFG.seed,
        device=CFG.device,
        work=out("work/pretrain/{name}"),
        code=code("pretrain"),
    script:
        "../workflow/scripts/pretrain.py"
