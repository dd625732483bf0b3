"""Gradients of the sets of sequences that pretraining should serve."""

TARGET_CROPPED = out("cropped/target/{target}.json")


wildcard_constraints:
    target="[a-z0-9_]+",


rule target:
    input:
        checkpoint=out("influence/finetuned"),
        sequences=target_sequences,
    output:
        sums=out("influence/targets/{target}.safetensors"),
        cropped=TARGET_CROPPED,
    log:
        log_of("target-{target}"),
    benchmark:
        bench("target-{target}")
    conda:
        "../envs/torch.yaml"
    threads: CFG.influence.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(240),
    params:
        content=target_content,
        target=lambda w: plain(CFG.influence.targets[w.target]),
        modality=CFG.modality,
        max_ambiguous=CFG.corpus.max_ambiguous,
        influence=CFG.influence.model_dump(exclude=FISHER_KEYS - {"parameters", "loss"}),
        seed=CFG.seed,
        device=CFG.device,
        work=out("work/targets/{target}"),
        code=code("target"),
    script:
        "../workflow/scripts/target.py"
