"""Rows of tasks: the seeds of one joined, and the table of those that need no training."""

if SEED_JOBS[1:]:
    ROW = "evaluation/{task}/{row}"

    rule join_seeds:
        input:
            metrics=expand(
                out(f"{ROW}/{SEED_FOLDER}metrics.json"),
                seeds=SEED_JOBS,
                allow_missing=True,
            ),
            predictions=expand(
                out(f"{ROW}/{SEED_FOLDER}predictions.parquet"),
                seeds=SEED_JOBS,
                allow_missing=True,
            ),
        output:
            metrics=out(f"{ROW}/metrics.json"),
            predictions=out(f"{ROW}/predictions.parquet"),
        log:
            log_of("join_seeds-{task}-{row}"),
        benchmark:
            bench("join_seeds-{task}-{row}")
        wildcard_constraints:
            row=f"cnn|{MODEL_NAME}",
        localrule: True
        conda:
            "../envs/corpus.yaml"
        threads: 1
        resources:
            mem_mb=memory(4000),
            runtime=runtime(30),
        params:
            code=code("join_seeds"),
        script:
            "../workflow/scripts/join_seeds.py"


#: Task and row of every evaluation that needs no pretraining.
GIVEN_CELLS = cells_of([*CFG.evaluate.checkpoints, *UNTRAINED, *BASELINES])
#: Without a corpus, and of what a given checkpoint was pretrained on nothing is known.
GIVEN_IDENTITIES = {key: path for key, path in IDENTITIES.items() if key[1] == "train"}


rule evaluation:
    input:
        metrics=[out(f"evaluation/{t}/{n}/metrics.json") for t, n in GIVEN_CELLS],
        predictions=[
            out(f"evaluation/{t}/{n}/predictions.parquet") for t, n in GIVEN_CELLS
        ],
        identities=GIVEN_IDENTITIES.values(),
    output:
        csv=out("report/evaluation.csv"),
        wide=out("report/evaluation_table.csv"),
        markdown=out("report/evaluation_table.md"),
        latex=out("report/evaluation_table.tex"),
        seen=out("report/evaluation_seen.csv"),
        by_identity=out("report/evaluation_by_identity.csv"),
    log:
        log_of("evaluation"),
    benchmark:
        bench("evaluation")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(60),
    params:
        held_out=[],
        cells=GIVEN_CELLS,
        identities=[*GIVEN_IDENTITIES],
        seen=CFG.evaluate.identity.seen,
        bootstrap=CFG.evaluate.bootstrap,
        confidence=CFG.evaluate.confidence,
        seed=CFG.seed,
        code=code("evaluation"),
    script:
        "../workflow/scripts/evaluation.py"
