"""One evaluation rule a task, and its k-mer baseline."""

EVALUATE = plain(CFG.evaluate)

for task_name, task in TASKS.items():

    rule:
        name:
            f"evaluate_{task_name}"
        input:
            checkpoint=out("models/{name}/checkpoint"),
            data=ancient(task.data.files()),
        output:
            metrics=out(f"evaluation/{task_name}/{{name}}/metrics.json"),
            predictions=out(f"evaluation/{task_name}/{{name}}/predictions.parquet"),
        log:
            log_of(f"evaluate_{task_name}-{{name}}"),
        benchmark:
            bench(f"evaluate_{task_name}-{{name}}")
        conda:
            "../envs/coresift.yaml"
        threads: CFG.evaluate.threads
        resources:
            **GPU,
            mem_mb=memory(8000),
            runtime=runtime(240),
        params:
            content=[fingerprint(path) for path in task.data.files()],
            modality=CFG.modality,
            task=plain(task),
            seeds=CFG.evaluate.seeds,
            tokens_per_batch=CFG.evaluate.tokens_per_batch,
            device=CFG.device,
            code=code("evaluate"),
        script:
            "../workflow/scripts/evaluate.py"

    rule:
        name:
            f"baseline_{task_name}"
        input:
            data=ancient(task.data.files()),
        output:
            metrics=out(f"evaluation/{task_name}/kmer/metrics.json"),
            predictions=out(f"evaluation/{task_name}/kmer/predictions.parquet"),
        log:
            log_of(f"baseline_{task_name}"),
        benchmark:
            bench(f"baseline_{task_name}")
        conda:
            "../envs/coresift.yaml"
        threads: 1
        resources:
            mem_mb=memory(8000),
            runtime=runtime(60),
        params:
            content=[fingerprint(path) for path in task.data.files()],
            modality=CFG.modality,
            task=plain(task),
            code=code("baseline"),
        script:
            "../workflow/scripts/baseline.py"
