"""Coresets: selection x budget x seed."""

from dataclasses import asdict

#: What trains, scores or draws waits for check_budgets (`onstart`) and does not depend on it: a new
#: budget is no reason to score.
LATER = {
    *("base", "finetune", "fisher_part", "score", "embeddings", "select", "pretrain"),
    *("untrained", "heldout"),
    *(f"{kind}_{task}" for kind in ("baseline", "evaluate") for task in TASKS),
    *(f"cnn_{task}" for task in CNN_TASKS),
}


rule check_budgets:
    input:
        expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
    output:
        out("coresets/budgets.json"),
    log:
        log_of("check_budgets"),
    benchmark:
        bench("check_budgets")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=runtime(10),
    params:
        requests=[drawn(name) for name in CFG.requests()],
        budgets=[*map(str, CFG.budgets())],
        code=code("check_budgets"),
    script:
        "../workflow/scripts/check_budgets.py"


# The table of scores is written anew by every score that is added, and by other shards. So a selection
# by one hangs on this file of that score's own, and not on the table's time.
rule made_of:
    input:
        lambda w: behind_score(w.score),
    output:
        out("influence/made_of/{score}.json"),
    log:
        log_of("made_of-{score}"),
    benchmark:
        bench("made_of-{score}")
    localrule: True
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=runtime(10),
    params:
        made_of=lambda w: made_of(w.score),
        code=code("made_of"),
    script:
        "../workflow/scripts/made_of.py"


rule select:
    input:
        pool=expand(out("corpus/pool/corpus/{bucket}.parquet"), bucket=BUCKETS),
        scores=lambda w: (
            [ancient(out("influence/scores.parquet"))] if score_of(w.selection) else []
        ),
        made_of=lambda w: (
            [out(f"influence/made_of/{score_of(w.selection)}.json")]
            if score_of(w.selection)
            else []
        ),
        groups=lambda w: (
            [out("corpus/groups.parquet")] if drawn(w.selection)["by"] else []
        ),
        reference=reference_coreset,
        states=lambda w: (
            expand(EMBEDDINGS, shard=SHARDS) if reads_states(w.selection) else []
        ),
    output:
        out("coresets/{selection}-{budget}-s{seed}/coreset.parquet"),
    log:
        log_of("select-{selection}-{budget}-s{seed}"),
    benchmark:
        bench("select-{selection}-{budget}-s{seed}")
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=runtime(lambda w: 240 if reads_states(w.selection) else 30),
    params:
        request=lambda w: drawn(w.selection),
        code=code("select"),
    script:
        "../workflow/scripts/select.py"
