"""Tables, plots and the page."""

BASELINES = [
    name for name, task in TASKS.items() if task.kind in ("class", "scalar", "pair")
]
CELLS = [(task, name) for task in TASKS for name in CORESETS]
CELLS += [(task, "kmer") for task in BASELINES]


rule make_report:
    input:
        metrics=[out(f"evaluation/{t}/{n}/metrics.json") for t, n in CELLS],
        predictions=[out(f"evaluation/{t}/{n}/predictions.parquet") for t, n in CELLS],
        coresets=expand(out("coresets/{name}/coreset.parquet"), name=CORESETS),
        fasta=expand(out("coresets/{name}/coreset.fasta.gz"), name=CORESETS),
        curves=expand(out("models/{name}/metrics.jsonl"), name=CORESETS),
        scores=out("influence/scores.parquet"),
        score_plot=out("influence/scores.svg"),
        corpus=out("corpus/summary.json"),
    output:
        csv=report(
            out("report/results.csv"),
            caption="../resources/captions/results.rst",
            category="Results",
        ),
        wide=multiext(out("report/results"), ".md", ".tex"),
        overlap=out("report/overlap.csv"),
        drift=out("report/coresets.csv"),
        curves=out("report/curves.svg"),
        bars=report(
            out("report/tasks.svg"),
            caption="../resources/captions/tasks.rst",
            category="Results",
        ),
        heatmap=out("report/overlap.svg"),
        page=report(
            out("report/report.html"),
            caption="../resources/captions/page.rst",
            category="Results",
        ),
    log:
        log_of("report"),
    benchmark:
        bench("report")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=runtime(30),
    params:
        run=CFG.run,
        cells=CELLS,
        names=CORESETS,
        evaluate=EVALUATE,
        compute=CFG.pretrain.compute,
        seed=CFG.seed,
        code=code("report"),
    script:
        "../workflow/scripts/report.py"
