"""Inputs and parameters of rules that hang on wildcards: functions of every rule file."""


def cells_of(rows):
    """Every task with each of the rows that it evaluates, and with the network if it has one."""
    networks = {task: ["cnn"] if task in CNN_TASKS else [] for task in TASKS}
    return [
        (name, row)
        for name, task in TASKS.items()
        for row in [*rows, *networks[name]]
        if row in BASELINES or task.evaluates(row_name(row))
    ]


def alone(task):
    """A task as plain data, without what says which other rows and tasks there are."""
    return plain(task.model_copy(update={"rows": None, "optional": False}))


def reading_of(task):
    """What decides how a task's files are read, as plain data: other keys change no example."""
    return {"data": plain(task.data), "kind": task.kind}


def seeds_of(wildcards):
    """Seeds of a job."""
    return list(map(int, getattr(wildcards, "seeds", SEED_JOBS[0]).split("_")))


def recipe_of(name):
    """The config that makes one coreset and no other: another budget does not change it."""
    selection, budget, seed = parse_coreset(name)
    drawn_so = {"budgets": [budget.setting], "seeds": [seed]}
    request = CFG.selection.request(selection)
    seen = {"pretrain": CFG.pretrain.seen} if request.strategy == "pool" else {}
    return {
        **CFG.portable(CORESET_SECTIONS),
        "selection": {**CFG.selection.only(selection), **drawn_so},
        **seen,
    }


def small(check):
    """The section of a check that retrains, as plain data."""
    return plain(VALIDATION.retrained()[check])


def drawn(selection):
    """What a draw of a selection depends on, as plain data."""
    request = asdict(CFG.selection.request(selection))
    if request["strategy"] == "pool":  # as much as training can see
        request["options"] = CFG.pretrain.seen
    return request


def score_of(selection):
    """The score that a selection ranks by, if any."""
    score = drawn(selection)["score"]
    return [] if score is None else [score]


def reference_coreset(wildcards):
    """The coreset a matched selection is matched to: of the same budget and seed."""
    reference = CFG.selection.request(wildcards.selection).reference
    if reference is None:
        return []
    name = coreset_name(reference, wildcards.budget, wildcards.seed)
    return [out(f"coresets/{name}/coreset.parquet")]


def features_script(name):
    """What measures the features of the pool, where a coreset is matched in one of them."""
    requests = CFG.selection.requests([parse_coreset(name)[0]]).values()
    return ["features"] if any(request.feature for request in requests) else []


def reads_states(selection):
    """Whether a selection compares embeddings."""
    return STRATEGIES[CFG.selection.request(selection).strategy].states


def subset_of(wildcards):
    """D_sub of a setting: the run's own, where it is that."""
    own = (int(wildcards.draw), int(wildcards.size)) == (SUBSET_SEED, CFG.subset.size)
    return out("influence/subset.parquet") if own else SUBSET.format(**wildcards)


def sequences_of_base(wildcards):
    """How many sequences the base of a setting is made from: D_sub's, or up to base.size."""
    return max(CFG.base.size or 0, int(wildcards.size))


def shares_sequences(wildcards):
    """Whether the base of a setting is made from the sequences that the run's own is.

    Another draw of D_sub alone changes no base, nor does another size within base.size.
    """
    own = CFG.base.size or CFG.subset.size
    return (int(wildcards.seed), sequences_of_base(wildcards)) == (CFG.seed, own)


def base_sequences_of(wildcards):
    """What the base of a setting is made from: its own D_sub, or with it up to base.size.

    A base that cannot be made in the setting's width is refused here, before any job.
    """
    widened(architecture(CFG.base.preset), float(wildcards.width))
    if shares_sequences(wildcards):
        return BASE_SEQUENCES
    of_subset = CFG.base.size is None and int(wildcards.seed) == CFG.seed
    draw = SUBSET_SEED if of_subset else wildcards.seed
    return SUBSET.format(draw=draw, size=sequences_of_base(wildcards))


def base_of(wildcards):
    """The base of a setting: the one given, or the run's own, where it is that."""
    own = shares_sequences(wildcards) and float(wildcards.width) == 1
    if CFG.base.checkpoint is not None or own:
        return BASE_CHECKPOINT
    return BASE.format(**wildcards)


def finetuned_of(wildcards):
    """The fine-tuned model of a setting: the run's own, where it is that."""
    setting = SETTING.format(**wildcards)
    own = setting == out(f"validate/stability/{OWN_SETTING.name}")
    return out("influence/finetuned") if own else f"{setting}/finetuned"


def scores_of(setting):
    """The scores of a setting."""
    return out(f"validate/stability/{setting.name}/scores.parquet")


def target_sequences(wildcards):
    """The file that holds a target's sequences."""
    target = CFG.influence.targets[wildcards.target]
    if target.fasta is not None:
        return given(target.fasta)
    if target.task is not None:
        return out(f"tasks/{target.task}/{target.split or 'train'}.fasta.gz")
    return out("heldout/sets.parquet")


def target_content(wildcards):
    """What a target's own FASTA holds; of what a rule makes the rules take care."""
    path = CFG.influence.targets[wildcards.target].fasta
    return None if path is None else fingerprint(path)


def held_out_sets(wildcards):
    """The table of held-out sets; an error, before any job, where V is none of them."""
    if VALIDATION.heldout not in CFG.heldout.sets:
        there = ", ".join(CFG.heldout.sets) or "none"
        raise WorkflowError(
            f"validate.heldout: no held-out set {VALIDATION.heldout!r}; there is: {there}"
        )
    return out("heldout/sets.parquet")


def tested(name):
    """Files that say what a model, or the letters, are worth on held-out sequences."""
    return out(f"heldout/losses/{name}.parquet")


def measured(task, row):
    """Figures of a row of a task."""
    return [
        out(f"evaluation/{task}/{row}/{file}")
        for file in ("metrics.json", "predictions.parquet")
    ]


def there(paths):
    """Whether all files are here."""
    return all(map(os.path.exists, paths))
