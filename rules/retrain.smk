"""Small models trained anew: the linear datamodelling score (lds) and leave-one-out (loo)."""

RETRAINED_PARTS = out(f"validate/{{check}}/losses/{VALIDATION.jobs}/{{job}}.parquet")
#: What the ways of `validate` decide, and what a prediction does not depend on.
WAY_KEYS = {
    *("parameters", "loss", "curvature", "damping", "damping_mode", "per"),
    *("variants", "targets", "shards", "fisher_shards"),
}


wildcard_constraints:
    check="lds|loo",
    job=r"\d+",
    model="pool|finetuned",


rule validate_reference:
    input:
        out("validate/{check}/pool.parquet"),
    output:
        checkpoint=directory(out("validate/{check}/pool-s{seed}/checkpoint")),
        metrics=out("validate/{check}/pool-s{seed}/metrics.jsonl"),
    log:
        log_of("validate_reference-{check}-s{seed}"),
    benchmark:
        bench("validate_reference-{check}-s{seed}")
    conda:
        "../envs/torch.yaml"
    threads: VALIDATION.training.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(240),
        checkpoint_steps=VALIDATION.training.checkpoint_steps,
    params:
        modality=CFG.modality,
        options=VALIDATION.training.model_dump(exclude=INERT),
        architecture=architecture(VALIDATION.training.preset),
        epochs=lambda w: small(w.check)["epochs"],
        share=lambda w: small(w.check).get("share", 1.0),
        device=CFG.device,
        work=out("work/validate/{check}-pool-s{seed}"),
        code=code("validate_reference"),
    script:
        "../workflow/scripts/validate_reference.py"


rule validate_retrain:
    input:
        pool=out("validate/{check}/pool.parquet"),
        target=out("validate/heldout.parquet"),
    output:
        RETRAINED_PARTS,
    log:
        log_of("validate_retrain-{check}-{job}"),
    benchmark:
        bench("validate_retrain-{check}-{job}")
    conda:
        "../envs/torch.yaml"
    threads: VALIDATION.training.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(720),
        checkpoint_steps=VALIDATION.training.checkpoint_steps,
    params:
        modality=CFG.modality,
        check=lambda w: small(w.check),
        options=VALIDATION.training.model_dump(exclude=INERT),
        architecture=architecture(VALIDATION.training.preset),
        masks=MASKS,
        jobs=VALIDATION.jobs,
        device=CFG.device,
        work=out("work/validate/{check}"),
        code=code("validate_retrain"),
    script:
        "../workflow/scripts/validate_retrain.py"


rule validate_predict:
    input:
        checkpoints=lambda w: (
            [out("influence/finetuned")]
            if w.model == "finetuned"
            else expand(
                out(f"validate/{w.check}/pool-s{{seed}}/checkpoint"),
                seed=small(w.check)["seeds"],
            )
        ),
        of=lambda w: (
            out("influence/subset.parquet")
            if w.model == "finetuned"
            else out(f"validate/{w.check}/pool.parquet")
        ),
        pool=out("validate/{check}/pool.parquet"),
        target=out("validate/heldout.parquet"),
    output:
        out("validate/{check}/predicted-{model}.parquet"),
    log:
        log_of("validate_predict-{check}-{model}"),
    benchmark:
        bench("validate_predict-{check}-{model}")
    conda:
        "../envs/torch.yaml"
    threads: CFG.influence.threads
    resources:
        **GPU,
        mem_mb=memory(16000),
        runtime=runtime(240),
    params:
        modality=CFG.modality,
        influence=CFG.influence.model_dump(exclude=WAY_KEYS),
        ways={
            name: getattr(VALIDATION, name)
            for name in ("losses", "parameters", "curvatures", "damping")
        },
        seed=CFG.seed,
        device=CFG.device,
        code=code("validate_predict"),
    script:
        "../workflow/scripts/validate_predict.py"


rule validate_agreement:
    input:
        pool=out("validate/{check}/pool.parquet"),
        target=out("validate/heldout.parquet"),
        retrained=expand(
            RETRAINED_PARTS, job=range(VALIDATION.jobs), allow_missing=True
        ),
        predicted=expand(
            out("validate/{check}/predicted-{model}.parquet"),
            model=VALIDATION.models,
            allow_missing=True,
        ),
    output:
        table=out("validate/{check}.csv"),
        noise=out("validate/{check}_noise.csv"),
        plot=report(
            out("validate/{check}.svg"),
            caption="../resources/captions/validate.rst",
            category="Validation",
        ),
    log:
        log_of("validate_agreement-{check}"),
    benchmark:
        bench("validate_agreement-{check}")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(60),
    params:
        check=lambda w: small(w.check),
        intervals=INTERVALS,
        masks=MASKS,
        seed=CFG.seed,
        code=code("validate_agreement"),
    script:
        "../workflow/scripts/validate_agreement.py"
