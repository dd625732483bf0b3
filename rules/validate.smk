"""Does a score mean anything? What is drawn for the checks, the decile curve, and the page."""

from coresift.validate.settings import own_way

VALIDATION = CFG.validation
#: A check, and what it writes beside its table.
CHECKS = {
    **({"deciles": ["order", "traits"]} if VALIDATION.scores else {}),
    **dict.fromkeys(VALIDATION.retrained(), ["noise"]),
    **({} if VALIDATION.stability is None else {"stability": []}),
}
#: The tables of each check, by name.
CHECK_TABLES = {
    check: {
        name: out(f"validate/{name}.csv")
        for name in [check, *(f"{check}_{part}" for part in more)]
    }
    for check, more in CHECKS.items()
}
VALIDATION_TABLES = {
    name: path for tables in CHECK_TABLES.values() for name, path in tables.items()
}
VALIDATION_PLOTS = {check: out(f"validate/{check}.svg") for check in CHECKS}
INTERVALS = {
    "n_resamples": VALIDATION.bootstrap,
    "confidence": VALIDATION.confidence,
}
DECILE_BUDGET = str(VALIDATION.decile_budget(CFG.selection.budgets))
DECILES = [
    coreset_name(selection, DECILE_BUDGET, seed)
    for selection in VALIDATION.deciles()
    for seed in CFG.selection.seeds
]
#: What waits for validate_draw (`onstart`), which holds budgets and samples to the pool.
LATER |= {"validate_base", "validate_finetune"}


rule validate_draw:
    input:
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
        sets=held_out_sets,
    output:
        **{
            check: out(f"validate/{check}/pool.parquet")
            for check in VALIDATION.samples()
        },
        target=out("validate/heldout.parquet"),
    log:
        log_of("validate_draw"),
    benchmark:
        bench("validate_draw")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(30),
    params:
        samples=VALIDATION.samples(),
        budget=DECILE_BUDGET if VALIDATION.scores else None,
        heldout=VALIDATION.heldout,
        size=VALIDATION.heldout_size,
        seed=CFG.seed,
        code=code("validate_draw"),
    script:
        "../workflow/scripts/validate_draw.py"


rule validate_deciles:
    input:
        losses=expand(out("heldout/losses/{name}.parquet"), name=DECILES),
        unigram=out("heldout/losses/unigram.parquet"),
        groups=out("heldout/groups.parquet"),
        coresets=expand(out("coresets/{name}/coreset.parquet"), name=DECILES),
        features=out("corpus/features.parquet"),
        pool_groups=out("corpus/groups.parquet"),
    output:
        table=out("validate/deciles.csv"),
        order=out("validate/deciles_order.csv"),
        traits=out("validate/deciles_traits.csv"),
        plot=report(
            out("validate/deciles.svg"),
            caption="../resources/captions/validate.rst",
            category="Validation",
        ),
    log:
        log_of("validate_deciles"),
    benchmark:
        bench("validate_deciles")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        names=DECILES,
        scores=VALIDATION.scores,
        budget=DECILE_BUDGET,
        seeds=CFG.selection.seeds,
        intervals=INTERVALS,
        seed=CFG.seed,
        code=code("validate_deciles"),
    script:
        "../workflow/scripts/validate_deciles.py"


rule validate_page:
    input:
        tables=VALIDATION_TABLES.values(),
        plots=VALIDATION_PLOTS.values(),
    output:
        report(
            out("validate/report.html"),
            caption="../resources/captions/validate.rst",
            category="Validation",
        ),
    log:
        log_of("validate_page"),
    benchmark:
        bench("validate_page")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        run=CFG.run,
        confidence=VALIDATION.confidence,
        way=own_way(CFG.influence),
        damping=CFG.influence.damping,
        tables=list(VALIDATION_TABLES),
        plots=list(VALIDATION_PLOTS),
        code=code("validate_page"),
    script:
        "../workflow/scripts/validate_page.py"
