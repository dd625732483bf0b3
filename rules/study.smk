"""The study: rounds of coresets that are trained on, and one page of what they say (docs/study).

`study_{round}` makes the models of a round and their figures; `study` makes the page of what is there,
whatever that is. The figures of a run are gathered once; runs beside it are read where they are.
"""

STUDY = {name: part.coresets() for name, part in CFG.study.rounds.items()}
#: Models and cells of the rounds: what `study_{round}` makes, and `study` looks for.
STUDY_MODELS = {
    name: [
        *coresets,
        *(
            f"untrained-s{s}"
            for s in CFG.study.rounds[name].seeds
            if CFG.evaluate.untrained
        ),
    ]
    for name, coresets in STUDY.items()
}
STUDY_CELLS = {
    name: [
        (task, row)
        for task, row in cells_of([*models, *BASELINES])
        if task in CFG.study.rounds[name].tasks
    ]
    for name, models in STUDY_MODELS.items()
}


for round_name, models in STUDY_MODELS.items():
    for budget in map(str, CFG.study.rounds[round_name].budgets):

        rule:
            name:
                f"study_{round_name}_{budget}"
            input:
                [tested(n) for n in models if f"-{budget}-s" in n],
            localrule: True

    rule:
        name:
            f"study_{round_name}"
        input:
            [tested(name) for name in [*models, "unigram"]],
            [path for cell in STUDY_CELLS[round_name] for path in measured(*cell)],
            [
                path
                for (task, _), path in IDENTITIES.items()
                if task in CFG.study.rounds[round_name].tasks
            ],
        localrule: True


#: What is there when the workflow is read, in the order of the rounds.
TESTED = [
    name
    for name in dict.fromkeys(n for models in STUDY_MODELS.values() for n in models)
    if there([tested(name)])
]
STUDIED = [name for name in TESTED if not name.startswith("untrained-")]
MEASURED = [
    cell
    for cell in dict.fromkeys(c for cells in STUDY_CELLS.values() for c in cells)
    if there(measured(*cell))
]
STUDY_IDENTITIES = {
    key: path
    for key, path in IDENTITIES.items()
    if key[0] in {task for task, _ in MEASURED} and there([path])
}
#: Tables of the checks that are there, each with all of its own.
CHECKED = {
    name: path
    for tables in CHECK_TABLES.values()
    if there(tables.values())
    for name, path in tables.items()
}
BESIDE = {
    label: f"results/{run}/study"
    for label, run in CFG.study.beside.items()
    if run not in (None, CFG.run)
    and there(
        [f"results/{run}/study/{file}" for file in ("runs.parquet", "facts.json")]
    )
}


rule study_runs:
    input:
        losses=[tested(name) for name in [*TESTED, "unigram"]],
        groups=out("heldout/groups.parquet"),
        sets=out("heldout/sets.parquet"),
        metrics=[measured(*cell)[0] for cell in MEASURED],
        predictions=[measured(*cell)[1] for cell in MEASURED],
        identities=STUDY_IDENTITIES.values(),
        coresets=[out(f"coresets/{name}/coreset.parquet") for name in STUDIED],
        features=out("corpus/features.parquet"),
        pool_groups=out("corpus/groups.parquet"),
        corpus=out("corpus/summary.json"),
        sources=out("corpus/sources.json"),
        validation=CHECKED.values(),
    output:
        runs=out("study/runs.parquet"),
        facts=out("study/facts.json"),
    log:
        log_of("study_runs"),
    benchmark:
        bench("study_runs")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(60),
    params:
        models=[*TESTED, "unigram"],
        cells=MEASURED,
        identities=[*STUDY_IDENTITIES],
        seen=CFG.evaluate.identity.seen,
        confidence=CFG.evaluate.confidence,
        coresets=STUDIED,
        validation=list(CHECKED),
        masks=MASKS,
        group=CFG.study.group,
        bootstrap=CFG.evaluate.bootstrap,
        seed=CFG.seed,
        config=CFG.model_dump(mode="json", by_alias=True),
        way=own_way(CFG.influence),
        damping=CFG.influence.damping,
        benchmarks={
            "pretrain": [bench(f"pretrain-{name}") for name in STUDIED],
            "heldout": [bench(f"heldout-{name}") for name in TESTED],
            "score": [bench(f"score-{shard}") for shard in SHARDS],
            "validate, models of tenths": [
                bench(f"{rule}-{name}")
                for rule in ("pretrain", "heldout")
                for name in DECILES
                if name not in STUDIED
            ],
            "validate, retrainings": [
                bench(f"validate_retrain-{check}-{job}")
                for check in VALIDATION.retrained()
                for job in range(VALIDATION.jobs)
            ],
        },
        code=code("study_runs"),
    script:
        "../workflow/scripts/study_runs.py"


rule study:
    input:
        runs=[
            out("study/runs.parquet"),
            *(f"{folder}/runs.parquet" for folder in BESIDE.values()),
        ],
        facts=[
            out("study/facts.json"),
            *(f"{folder}/facts.json" for folder in BESIDE.values()),
        ],
        kept=[given(path) for path in CFG.study.kept_files()],
    output:
        directory(out("study/page")),
    log:
        log_of("study"),
    benchmark:
        bench("study")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        labels=["", *BESIDE],
        kept=CFG.study.kept,
        content=[fingerprint(path) for path in CFG.study.kept_files()],
        name=CFG.run.removeprefix("study_"),
        code=code("study_page"),
    script:
        "../workflow/scripts/study_page.py"
