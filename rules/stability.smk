"""Assumption 1: the scores of other subsets, fine-tunings and bases, held against the run's own."""

from coresift.models.settings import widened
from coresift.validate.settings import Setting

STABILITY = VALIDATION.stability
OWN_SETTING = Setting(CFG.seed, SUBSET_SEED, CFG.subset.size, 1.0, CFG.finetune.epochs)
#: What is changed and to what, by the name of the setting.
CHANGES = (
    []
    if STABILITY is None
    else STABILITY.changes(OWN_SETTING, CFG.base.checkpoint is None)
)
SUBSET = out("validate/stability/d{draw}-n{size}/subset.parquet")
BASE = out("validate/stability/s{seed}-n{size}-w{width}/base")
SETTING = out("validate/stability/s{seed}-d{draw}-n{size}-w{width}-e{epochs}")


wildcard_constraints:
    draw=r"\d+",
    size=r"\d+",
    width=r"[\d.e+-]+",
    epochs=r"[\d.e+-]+",


use rule subset as validate_subset with:
    output:
        SUBSET,
    log:
        log_of("validate_subset-d{draw}-n{size}"),
    benchmark:
        bench("validate_subset-d{draw}-n{size}")
    params:
        key="subset.size",
        size=lambda w: int(w.size),
        seed=lambda w: int(w.draw),
        code=code("subset"),


if CFG.base.checkpoint is None:

    use rule base as validate_base with:
        input:
            base_sequences_of,
        output:
            checkpoint=directory(BASE),
            metrics=f"{BASE}.jsonl",
            cropped=f"{BASE}.json",
        log:
            log_of("validate_base-s{seed}-n{size}-w{width}"),
        benchmark:
            bench("validate_base-s{seed}-n{size}-w{width}")
        params:
            modality=CFG.modality,
            base=lambda w: {
                **plain(CFG.base),
                "preset": widened(architecture(CFG.base.preset), float(w.width)),
            },
            architecture=None,
            options=CFG.finetune.model_dump(include=BASE_OPTIONS),
            seed=lambda w: int(w.seed),
            device=CFG.device,
            work=out("work/validate/base-s{seed}-n{size}-w{width}"),
            code=code("base"),


use rule finetune as validate_finetune with:
    input:
        base=base_of,
        subset=subset_of,
    output:
        checkpoint=directory(f"{SETTING}/finetuned"),
        metrics=f"{SETTING}/finetuned.jsonl",
        cropped=f"{SETTING}/finetuned.json",
    log:
        log_of("validate_finetune-s{seed}-d{draw}-n{size}-w{width}-e{epochs}"),
    benchmark:
        bench("validate_finetune-s{seed}-d{draw}-n{size}-w{width}-e{epochs}")
    params:
        content=(
            None if CFG.base.checkpoint is None else fingerprint(CFG.base.checkpoint)
        ),
        modality=CFG.modality,
        options=lambda w: {
            **CFG.finetune.model_dump(exclude=INERT),
            "epochs": float(w.epochs),
        },
        seed=lambda w: int(w.seed),
        device=CFG.device,
        work=out("work/validate/finetune-s{seed}-d{draw}-n{size}-w{width}-e{epochs}"),
        code=code("finetune"),


rule validate_scores:
    input:
        checkpoint=finetuned_of,
        subset=subset_of,
        sample=out("validate/stability/pool.parquet"),
    output:
        f"{SETTING}/scores.parquet",
    log:
        log_of("validate_scores-s{seed}-d{draw}-n{size}-w{width}-e{epochs}"),
    benchmark:
        bench("validate_scores-s{seed}-d{draw}-n{size}-w{width}-e{epochs}")
    conda:
        "../envs/torch.yaml"
    threads: CFG.influence.threads
    resources:
        **GPU,
        mem_mb=memory(16000),
        runtime=runtime(240),
    params:
        modality=CFG.modality,
        influence=CFG.influence.model_dump(
            exclude={"per", "variants", "targets", "shards", "fisher_shards"}
        ),
        seed=CFG.seed,
        device=CFG.device,
        cache=out("work/validate/scores"),
        code=code("validate_scores"),
    script:
        "../workflow/scripts/validate_scores.py"


rule validate_stability:
    input:
        reference=scores_of(OWN_SETTING),
        others=[scores_of(setting) for _, _, setting in CHANGES],
    output:
        table=out("validate/stability.csv"),
        plot=report(
            out("validate/stability.svg"),
            caption="../resources/captions/validate.rst",
            category="Validation",
        ),
    log:
        log_of("validate_stability"),
    benchmark:
        bench("validate_stability")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(60),
    params:
        changes=[(factor, value) for factor, value, _ in CHANGES],
        top=[] if STABILITY is None else STABILITY.top,
        length_bins=None if STABILITY is None else STABILITY.length_bins,
        code=code("validate_stability"),
    script:
        "../workflow/scripts/validate_stability.py"
