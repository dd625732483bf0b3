"""The subset D_sub, the base model and its fine-tuning on D_sub."""


rule subset:
    input:
        pool=expand(out(f"corpus/pool/{BASE_SET}/{{bucket}}.parquet"), bucket=BUCKETS),
        reports=expand(out("corpus/ingest/{source}.json"), source=BASE_SOURCES),
    output:
        out("influence/subset.parquet"),
    log:
        log_of("subset"),
    benchmark:
        bench("subset")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(30),
    params:
        key="subset.size",
        size=CFG.subset.size,
        seed=SUBSET_SEED,
        code=code("subset"),
    script:
        "../workflow/scripts/subset.py"


#: A base made from scratch shares these with fine-tuning.
BASE_OPTIONS = set(Optimisation.model_fields) - {"learning_rate", *INERT}
if CFG.base.checkpoint is None:
    BASE_CHECKPOINT = out("influence/base")
    BASE_SEQUENCES = rules.subset.output[0]
    if CFG.base.size is not None:
        BASE_SEQUENCES = out("influence/base_sequences.parquet")

        # Of the same hash order as D_sub, which is in it unless it has a seed of its own.
        use rule subset as base_sequences with:
            output:
                BASE_SEQUENCES,
            log:
                log_of("base_sequences"),
            benchmark:
                bench("base_sequences")
            params:
                key="base.size",
                size=CFG.base.size,
                seed=CFG.seed,
                code=code("subset"),

    rule base:
        input:
            BASE_SEQUENCES,
        output:
            checkpoint=directory(out("influence/base")),
            metrics=out("influence/base.jsonl"),
            cropped=out("cropped/base.json"),
        log:
            log_of("base"),
        benchmark:
            bench("base")
        conda:
            "../envs/torch.yaml"
        threads: CFG.finetune.threads
        resources:
            **GPU,
            mem_mb=memory(8000),
            runtime=runtime(240),
            checkpoint_steps=CFG.finetune.checkpoint_steps,
        params:
            modality=CFG.modality,
            base=plain(CFG.base),
            architecture=architecture(CFG.base.preset),
            options=CFG.finetune.model_dump(include=BASE_OPTIONS)
            | {"max_tokens": CFG.longest_input(CFG.finetune.max_tokens)},
            seed=CFG.seed,
            device=CFG.device,
            work=out("work/base"),
            code=code("base"),
        script:
            "../workflow/scripts/base.py"

else:
    BASE_CHECKPOINT = given(CFG.base.checkpoint)


rule finetune:
    input:
        base=BASE_CHECKPOINT,
        subset=out("influence/subset.parquet"),
    output:
        checkpoint=directory(out("influence/finetuned")),
        metrics=out("influence/finetuned.jsonl"),
        cropped=out("cropped/finetune.json"),
    log:
        log_of("finetune"),
    benchmark:
        bench("finetune")
    conda:
        "../envs/torch.yaml"
    threads: CFG.finetune.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(240),
        checkpoint_steps=CFG.finetune.checkpoint_steps,
    params:
        content=(
            None if CFG.base.checkpoint is None else fingerprint(CFG.base.checkpoint)
        ),
        modality=CFG.modality,
        options=CFG.finetune.model_dump(exclude=INERT),
        seed=CFG.seed,
        device=CFG.device,
        work=out("work/finetune"),
        code=code("finetune"),
    script:
        "../workflow/scripts/finetune.py"
