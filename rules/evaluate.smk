"""Held-out examples of all tasks; one evaluation rule a task, and its baseline from sequence."""

#: What decides how a task's files are read: other keys of a task change no held-out example.
HELD_OUT = {
    name: {"data": plain(task.data), "kind": task.kind}
    for name, task in TASKS.items()
    if CFG.decontaminate.enabled
}
HELD_OUT_FILES = sorted({f for name in HELD_OUT for f in TASKS[name].data.files()})


rule held_out:
    input:
        [given(path) for path in HELD_OUT_FILES],
    output:
        out("tasks/held_out.parquet"),
    log:
        log_of("held_out"),
    benchmark:
        bench("held_out")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        content=[fingerprint(path) for path in HELD_OUT_FILES],
        modality=CFG.modality,
        tasks=HELD_OUT,
        splits=CFG.decontaminate.splits,
        code=code("held_out"),
    script:
        "../workflow/scripts/held_out.py"


for task_name, task in TASKS.items():

    rule:
        name:
            f"evaluate_{task_name}"
        input:
            checkpoint=checkpoint_of,
            data=[given(path) for path in task.data.files()],
        output:
            metrics=out(f"evaluation/{task_name}/{{name}}/metrics.json"),
            predictions=out(f"evaluation/{task_name}/{{name}}/predictions.parquet"),
        log:
            log_of(f"evaluate_{task_name}-{{name}}"),
        benchmark:
            bench(f"evaluate_{task_name}-{{name}}")
        conda:
            "../envs/torch.yaml"
        threads: CFG.evaluate.threads
        resources:
            **GPU,
            mem_mb=memory(8000),
            runtime=runtime(240),
        params:
            content=contents(task),
            checkpoint=content_of,
            modality=CFG.modality,
            task=plain(task),
            seeds=CFG.evaluate.seeds,
            tokens_per_batch=CFG.evaluate.tokens_per_batch,
            device=CFG.device,
            store=out("work/embeddings"),
            code=code("evaluate"),
        script:
            "../workflow/scripts/evaluate.py"

    rule:
        name:
            f"baseline_{task_name}"
        input:
            data=[given(path) for path in task.data.files()],
        output:
            metrics=out(f"evaluation/{task_name}/kmer/metrics.json"),
            predictions=out(f"evaluation/{task_name}/kmer/predictions.parquet"),
        log:
            log_of(f"baseline_{task_name}"),
        benchmark:
            bench(f"baseline_{task_name}")
        conda:
            "../envs/torch.yaml"
        threads: 1
        resources:
            mem_mb=memory(8000),
            runtime=runtime(60),
        params:
            content=contents(task),
            modality=CFG.modality,
            task=plain(task),
            code=code("baseline"),
        script:
            "../workflow/scripts/baseline.py"
