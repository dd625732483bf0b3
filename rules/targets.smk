"""Gradients of the sets of sequences that pretraining should serve."""

TARGET_CROPPED = out("cropped/target/{target}.json")


wildcard_constraints:
    target="[a-z0-9_]+",


def target_sequences(wildcards):
    """The file that holds a target's sequences."""
    target = CFG.influence.targets[wildcards.target]
    if target.fasta is not None:
        return given(target.fasta)
    if target.task is not None:
        return out(f"tasks/{target.task}/{target.split or 'train'}.fasta.gz")
    return out("heldout/sets.parquet")


def target_content(wildcards):
    """What a target's own FASTA holds; of what a rule makes the rules take care."""
    path = CFG.influence.targets[wildcards.target].fasta
    return None if path is None else fingerprint(path)


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
