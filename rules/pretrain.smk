"""Pretraining from scratch on every coreset."""


rule pretrain:
    input:
        coreset=out("coresets/{name}/coreset.parquet"),
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
        corpus=out("corpus/summary.json"),
    output:
        checkpoint=directory(out("models/{name}/checkpoint")),
        metrics=out("models/{name}/metrics.jsonl"),
        cropped=out("cropped/pretrain/{name}.json"),
    log:
        log_of("pretrain-{name}"),
    benchmark:
        bench("pretrain-{name}")
    conda:
        "../envs/torch.yaml"
    threads: CFG.pretrain.threads
    resources:
        **GPU,
        mem_mb=memory(16000),
        runtime=runtime(1440),
    params:
        modality=CFG.modality,
        options=plain(CFG.pretrain),
        architecture=architecture(CFG.pretrain.preset),
        budget=lambda w: parse_coreset(w.name)[1],
        seed=lambda w: parse_coreset(w.name)[2],
        device=CFG.device,
        work=out("work/pretrain/{name}"),
        code=code("pretrain"),
    script:
        "../workflow/scripts/pretrain.py"
