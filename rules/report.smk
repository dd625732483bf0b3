"""Tables, plots and the page."""

EVALUATED = [*MODELS, *BASELINES]
CELLS = cells_of(EVALUATED)
#: What stands beside our figures is part of the tables.
PAPER = hashed(os.path.join(ROOT, "resources/paper"))
#: Title, file and caption of the plots of results that this run can have.
OUTCOMES = {
    **({"held_out": ("Held-out loss", "heldout")} if HELD_OUT_LOSSES else {}),
    **({"bars": ("Tasks", "tasks")} if CELLS else {}),
}
RESULT_PLOTS = {
    key: report(
        out(f"report/{name}.svg"),
        caption=f"../resources/captions/{name}.rst",
        category="Results",
    )
    for key, (_, name) in OUTCOMES.items()
}
PLOTS = {
    **{title: out(f"report/{name}.svg") for title, name in OUTCOMES.values()},
    "Self-influence": out("influence/scores.svg"),
    "Coverage of the strata": out("coresets/strata.svg"),
    "Length and composition": out("coresets/drift.svg"),
    "Overlap of the coresets": out("coresets/overlap.svg"),
    "Where the selections lie": out("coresets/embedding.svg"),
}
#: Stage and model, and the file that says what was cropped there.
CROPPED = [
    *([("base", "", out("cropped/base.json"))] if CFG.base.checkpoint is None else []),
    ("fine-tune", "", out("cropped/finetune.json")),
    *(
        (
            "Fisher",
            f"{loss} {kind}",
            FISHER_CROPPED.format(loss=loss, kind=kind, shard=shard),
        )
        for loss, kinds in FISHERS.items()
        for kind in kinds
        for shard in range(CFG.influence.fisher_shards)
    ),
    *(("target", t, TARGET_CROPPED.format(target=t)) for t in CFG.influence.targets),
    *(("score", "", SCORE_CROPPED.format(shard=shard)) for shard in SHARDS),
    *(
        ("embed pool", "", EMBEDDINGS_CROPPED.format(shard=shard))
        for shard in (SHARDS if CFG.selection.reads_states else [])
    ),
    ("embed", "", out("cropped/embed.json")),
    *(("pretrain", n, out(f"cropped/pretrain/{n}.json")) for n in CORESETS),
    *(
        ("held-out", n, out(f"cropped/heldout/{n}.json"))
        for n in MODELS
        if CFG.heldout.sets
    ),
    *((f"evaluate {t}", n, out(f"evaluation/{t}/{n}/metrics.json")) for t, n in CELLS),
]


rule results:
    input:
        losses=HELD_OUT_LOSSES.values(),
        groups=[out("heldout/groups.parquet")] if HELD_OUT_LOSSES else [],
        metrics=[out(f"evaluation/{t}/{n}/metrics.json") for t, n in CELLS],
        predictions=[out(f"evaluation/{t}/{n}/predictions.parquet") for t, n in CELLS],
        identities=IDENTITIES.values(),
    output:
        **RESULT_PLOTS,
        csv=report(
            out("report/results.csv"),
            caption="../resources/captions/results.rst",
            category="Results",
        ),
        comparisons=report(
            out("report/comparisons.csv"),
            caption="../resources/captions/comparisons.rst",
            category="Results",
        ),
        wide=out("report/table.csv"),
        beside=out("report/beside_paper.csv"),
        beside_markdown=out("report/beside_paper.md"),
        beside_latex=out("report/beside_paper.tex"),
        markdown=out("report/table.md"),
        latex=out("report/table.tex"),
        notes=out("report/notes.csv"),
        trainings=out("report/trainings.csv"),
        seen=out("report/seen.csv"),
        by_identity=out("report/results_by_identity.csv"),
    log:
        log_of("results"),
    benchmark:
        bench("results")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(60),
    params:
        held_out=[*HELD_OUT_LOSSES],
        cells=CELLS,
        identities=[*IDENTITIES],
        seen=CFG.evaluate.identity.seen,
        paper=PAPER,
        modality=CFG.modality,
        bootstrap=CFG.evaluate.bootstrap,
        confidence=CFG.evaluate.confidence,
        aimed=CFG.aimed(),
        seed=CFG.seed,
        code=code("results"),
    script:
        "../workflow/scripts/results.py"


rule make_report:
    input:
        corpus=out("corpus/summary.json"),
        summary=out("influence/summary.json"),
        extremes=out("influence/extremes.csv"),
        results=out("report/results.csv"),
        comparisons=out("report/comparisons.csv"),
        wide=out("report/table.csv"),
        beside=out("report/beside_paper.csv"),
        notes=out("report/notes.csv"),
        trainings=out("report/trainings.csv"),
        seen=out("report/seen.csv"),
        by_identity=out("report/results_by_identity.csv"),
        coresets=out("coresets/drift.csv"),
        metrics=expand(out("models/{name}/metrics.jsonl"), name=CORESETS),
        cropped=[path for _, _, path in CROPPED],
        plots=PLOTS.values(),
    output:
        curves=out("report/curves.svg"),
        verdict=out("report/verdict.txt"),
        page=report(
            out("report/report.html"),
            caption="../resources/captions/page.rst",
            category="Results",
        ),
    log:
        log_of("make_report"),
    benchmark:
        bench("make_report")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        run=CFG.run,
        paper=PAPER,
        modality=CFG.modality,
        decontaminate=DECONTAMINATE if CFG.decontaminate.enabled else None,
        composition=ALPHABETS[CFG.modality].composition_name,
        compute=CFG.pretrain.compute,
        confidence=CFG.evaluate.confidence,
        aimed=CFG.aimed(),
        names=CORESETS,
        titles=[*PLOTS, "Learning curves"],
        cropped=[(stage, model) for stage, model, _ in CROPPED],
        code=code("make_report"),
    script:
        "../workflow/scripts/make_report.py"
