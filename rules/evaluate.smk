"""Examples of all tasks that the pool must not resemble; one evaluation rule a task, and its baselines from sequence."""

#: Seeds of each job of a row, as they stand in its path where there are several (rows.smk).
SEED_JOBS = ["_".join(map(str, seeds)) for seeds in CFG.evaluate.seed_jobs()]
SEED_FOLDER, SEED_NAME = ("seeds/{seeds}/", "-{seeds}") if SEED_JOBS[1:] else ("", "")
HELD_APART = TASKS.values() if CFG.decontaminate.enabled else ()
#: What decides how a task's files are read, in an order of its own: other keys of a task change no
#: held-out example, nor do its name, its place in the config, and a second task on the same files.
READINGS = {json.dumps(reading_of(task), sort_keys=True) for task in HELD_APART}
PROTECTED = [json.loads(text) for text in sorted(READINGS)]
PROTECTED_FILES = sorted({f for task in HELD_APART for f in task.data.files()})


rule protected:
    input:
        [given(path) for path in PROTECTED_FILES],
    output:
        out("tasks/protected.parquet"),
    log:
        log_of("protected"),
    benchmark:
        bench("protected")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        content=[fingerprint(path) for path in PROTECTED_FILES],
        modality=CFG.modality,
        readings=PROTECTED,
        splits=CFG.decontaminate.splits,
        code=code("protected"),
    script:
        "../workflow/scripts/protected.py"


rule task_fasta:
    input:
        lambda w: [given(path) for path in CFG.tasks[w.task].data.files()],
    output:
        out("tasks/{task}/{split}.fasta.gz"),
    log:
        log_of("task_fasta-{task}-{split}"),
    benchmark:
        bench("task_fasta-{task}-{split}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=runtime(30),
    params:
        content=lambda w: contents(CFG.tasks[w.task]),
        modality=CFG.modality,
        task=lambda w: reading_of(CFG.tasks[w.task]),
        code=code("task_fasta"),
    script:
        "../workflow/scripts/task_fasta.py"


wildcard_constraints:
    seeds=r"-?\d+(_-?\d+)*",


for task_name, task in TASKS.items():

    rule:
        name:
            f"evaluate_{task_name}"
        input:
            checkpoint=checkpoint_of,
            data=[given(path) for path in task.data.files()],
        output:
            metrics=out(f"evaluation/{task_name}/{{name}}/{SEED_FOLDER}metrics.json"),
            predictions=out(
                f"evaluation/{task_name}/{{name}}/{SEED_FOLDER}predictions.parquet"
            ),
        log:
            log_of(f"evaluate_{task_name}-{{name}}{SEED_NAME}"),
        benchmark:
            bench(f"evaluate_{task_name}-{{name}}{SEED_NAME}")
        conda:
            "../envs/torch.yaml"
        threads: CFG.evaluate.threads
        resources:
            **GPU,
            mem_mb=memory(8000),
            runtime=runtime(240),
            checkpoint_steps=CFG.evaluate.checkpoint_steps,
        params:
            content=contents(task),
            checkpoint=content_of,
            modality=CFG.modality,
            task=alone(task),
            seeds=seeds_of,
            tokens_per_batch=CFG.evaluate.tokens_per_batch,
            precision=CFG.evaluate.precision,
            threads=CFG.evaluate.threads,
            device=CFG.device,
            store=out("work/embeddings"),
            work=out(f"work/evaluation/{task_name}/{{name}}"),
            code=code("evaluate"),
        script:
            "../workflow/scripts/evaluate.py"

    rule:
        name:
            f"baseline_{task_name}"
        input:
            data=[given(path) for path in task.data.files()],
        output:
            metrics=out(f"evaluation/{task_name}/{{baseline}}/metrics.json"),
            predictions=out(f"evaluation/{task_name}/{{baseline}}/predictions.parquet"),
        log:
            log_of(f"baseline_{task_name}-{{baseline}}"),
        benchmark:
            bench(f"baseline_{task_name}-{{baseline}}")
        conda:
            "../envs/torch.yaml"
        threads: 1
        resources:
            mem_mb=memory(8000),
            runtime=runtime(60),
        params:
            content=contents(task),
            modality=CFG.modality,
            task=alone(task),
            code=code("baseline"),
        script:
            "../workflow/scripts/baseline.py"

    if task_name in CNN_TASKS:

        rule:
            name:
                f"cnn_{task_name}"
            input:
                data=[given(path) for path in task.data.files()],
            output:
                metrics=out(f"evaluation/{task_name}/cnn/{SEED_FOLDER}metrics.json"),
                predictions=out(
                    f"evaluation/{task_name}/cnn/{SEED_FOLDER}predictions.parquet"
                ),
            log:
                log_of(f"cnn_{task_name}{SEED_NAME}"),
            benchmark:
                bench(f"cnn_{task_name}{SEED_NAME}")
            conda:
                "../envs/torch.yaml"
            threads: CFG.evaluate.threads
            resources:
                **GPU,
                mem_mb=memory(8000),
                runtime=runtime(240),
                checkpoint_steps=CFG.evaluate.checkpoint_steps,
            params:
                content=contents(task),
                modality=CFG.modality,
                task=alone(task),
                seeds=seeds_of,
                tokens_per_batch=CFG.evaluate.tokens_per_batch,
                precision=CFG.evaluate.precision,
                threads=CFG.evaluate.threads,
                device=CFG.device,
                work=out(f"work/evaluation/{task_name}/cnn"),
                code=code("cnn"),
            script:
                "../workflow/scripts/cnn.py"
