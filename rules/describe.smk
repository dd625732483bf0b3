"""What was scored and drawn: summaries and plots that nothing else depends on but the page."""

#: The identity holds for the diagonal Fisher of the main score's loss.
IDENTITY = (
    [out("influence/identity.json")] if CFG.influence.curvature == "diag_fisher" else []
)


rule identity:
    input:
        checkpoint=out("influence/finetuned"),
        fisher=out(f"influence/fisher/{CFG.influence.loss}/diagonal.safetensors"),
        subset=out("influence/subset.parquet"),
    output:
        out("influence/identity.json"),
    log:
        log_of("identity"),
    benchmark:
        bench("identity")
    conda:
        "../envs/torch.yaml"
    threads: CFG.influence.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(240),
    params:
        modality=CFG.modality,
        influence=CFG.influence.model_dump(exclude=FISHER_KEYS - {"parameters", "loss"}),
        seed=CFG.seed,
        device=CFG.device,
        cache=out("work/identity"),
        code=code("identity"),
    script:
        "../workflow/scripts/identity.py"


rule describe_scores:
    input:
        scores=out("influence/scores.parquet"),
        identity=IDENTITY,
        features=out("corpus/features.parquet"),
        groups=[out("corpus/groups.parquet")] if "cluster" in GROUPINGS else [],
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
    output:
        summary=out("influence/summary.json"),
        agreement=out("influence/agreement.csv"),
        extremes=out("influence/extremes.csv"),
        plot=report(
            out("influence/scores.svg"),
            caption="../resources/captions/scores.rst",
            category="Scores",
        ),
    log:
        log_of("describe_scores"),
    benchmark:
        bench("describe_scores")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=runtime(30),
    params:
        columns=CFG.influence.columns(),
        budgets=BUDGETS,
        code=code("describe_scores"),
    script:
        "../workflow/scripts/describe_scores.py"


rule describe_coresets:
    input:
        scores=out("influence/scores.parquet"),
        coresets=expand(out("coresets/{name}/coreset.parquet"), name=CORESETS),
        features=out("corpus/features.parquet"),
        groups=out("corpus/groups.parquet"),
    output:
        overlap=out("coresets/overlap.csv"),
        drift=out("coresets/drift.csv"),
        strata=out("coresets/strata.csv"),
        overlap_plot=report(
            out("coresets/overlap.svg"),
            caption="../resources/captions/overlap.rst",
            category="Coresets",
        ),
        strata_plot=report(
            out("coresets/strata.svg"),
            caption="../resources/captions/strata.rst",
            category="Coresets",
        ),
        drift_plot=report(
            out("coresets/drift.svg"),
            caption="../resources/captions/drift.rst",
            category="Coresets",
        ),
    log:
        log_of("describe_coresets"),
    benchmark:
        bench("describe_coresets")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=runtime(30),
    params:
        names=CORESETS,
        scores=CFG.selection.ranked,
        groupings=CFG.corpus.groupings,
        modality=CFG.modality,
        cci=plain(CFG.selection.cci),
        code=code("describe_coresets"),
    script:
        "../workflow/scripts/describe_coresets.py"


rule embed:
    input:
        checkpoint=out("influence/finetuned"),
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
        coresets=expand(out("coresets/{name}/coreset.parquet"), name=CORESETS),
    output:
        table=out("coresets/embedding.parquet"),
        cropped=out("cropped/embed.json"),
        plot=report(
            out("coresets/embedding.svg"),
            caption="../resources/captions/embedding.rst",
            category="Coresets",
        ),
    log:
        log_of("embed"),
    benchmark:
        bench("embed")
    conda:
        "../envs/torch.yaml"
    threads: CFG.evaluate.threads
    resources:
        **GPU,
        mem_mb=memory(8000),
        runtime=runtime(60),
    params:
        names=CORESETS,
        modality=CFG.modality,
        size=CFG.report.embedding_size,
        seed=CFG.seed,
        max_tokens=CFG.influence.max_tokens,
        tokens_per_batch=CFG.evaluate.tokens_per_batch,
        threads=CFG.evaluate.threads,
        device=CFG.device,
        store=out("work/embeddings"),
        code=code("embed"),
    script:
        "../workflow/scripts/embed.py"
