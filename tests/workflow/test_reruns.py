"""What reruns in a finished project, and what does not: dry runs against a written table."""

import json
import re
import shutil

import numpy as np
import polars as pl
import pytest
from project import small_config

pytestmark = pytest.mark.workflow

PAGE = {"results", "make_report"}
TRAINED = {"pretrain", "heldout", "evaluate_domain", *PAGE}
#: What is written for others has the config in it, but for what evaluation and report are told.
CARDS = {"corpus_card", "export_coreset"}


def test_nothing_reruns_without_a_change(project):
    assert project.planned(small_config()) == set()


def test_a_touched_fasta_reruns_nothing(project):
    (project.folder / "a.fasta").touch()
    assert project.planned(small_config()) == set()


def test_a_touched_script_or_checkout_reruns_nothing(project):
    for path in (project.folder / "workflow").rglob("*.py"):
        path.touch()
    assert project.planned(small_config()) == set()


def test_memory_and_how_often_a_state_is_kept_rerun_nothing(project):
    config = small_config()
    config["corpus"]["chunk_bytes"] = 1 << 20
    for section in ("finetune", "pretrain", "evaluate"):
        config[section] |= {"checkpoint_steps": 7}
    config["tasks"]["domain"]["optional"] = True
    assert project.planned(config) <= CARDS  # they have the configuration in them


#: What is written of scores, and of coresets, for people.
SHOWN = {"merge", "describe_scores", "describe_coresets", "make_report", *CARDS}


@pytest.mark.long
def test_scores_that_are_added_or_cut_otherwise_draw_and_train_nothing(own_project):
    """`scores` goes first, and then sees that the columns are the same."""
    config = small_config()
    random = "results/small/coresets/random-40-s0/coreset.parquet"
    config["selection"]["strategies"].append("random")
    own_project.run(config, random)
    config["influence"] |= {"shards": 3, "variants": {"plain": {"curvature": "identity"}}}
    assert own_project.planned(config, random) == set()  # it reads no score
    own_project.run(config, "scores")
    own_project.run(config, "results/small/coresets/top_influence-40-s0/coreset.parquet")
    del config["selection"]["strategies"][-1]
    assert own_project.planned(config) <= SHOWN
    # Added in one go, a selection by it waits for it; what is ranked by another is drawn anew.
    main = "results/small/coresets/top_influence-40-s0/coreset.parquet"
    before = (own_project.folder / main).read_bytes()
    config["influence"]["variants"]["damped"] = {"damping": 10.0}
    config["influence"]["damping"] = 0.5
    config["selection"]["strategies"].append("top_influence.damped")
    other = main.replace("top_influence", "top_influence.damped")
    own_project.run(config, main, other)
    scores = pl.read_parquet(own_project.folder / "results/small/influence/scores.parquet")
    for path, column in ((main, "influence"), (other, "damped")):
        first = pl.read_parquet(own_project.folder / path).join(scores, on="seq_id").sort("rank")
        assert first[column].to_list() == sorted(scores[column], reverse=True)[:40]
    assert (own_project.folder / main).read_bytes() != before


SCORING = {"ingest", "subset", "base", "finetune", "fisher_part", "fisher", "score", "merge"}


def test_a_new_budget_scores_nothing(project):
    config = small_config()
    config["selection"]["budgets"] = [40, 30, "2.5k residues"]
    planned = project.planned(config)
    assert {"check_budgets", "select", "pretrain", "evaluate_domain", "results"} <= planned
    assert not planned & SCORING
    name = "top_influence-2500r-s0"
    model = f"results/small/models/{name}/checkpoint"
    assert project.planned(config, model) == {"select", "pretrain"}
    project.run(config, model)
    results = project.folder / "results/small"
    coreset = pl.read_parquet(results / f"coresets/{name}/coreset.parquet")
    pool = pl.concat(map(pl.read_parquet, (results / "corpus/pool/corpus").glob("*.parquet")))
    lengths = coreset.join(pool, on="seq_id")["length"]
    assert abs(lengths.sum() - 2500) <= pool["length"].max() / 2
    metrics = (results / f"models/{name}/metrics.jsonl").read_text().splitlines()
    seen = sum(json.loads(line)["residues"] for line in metrics)
    assert 2500 <= seen < 2500 + 1024  # one epoch: the budget itself, in whole steps


@pytest.mark.long
def test_a_selection_on_embeddings_embeds_the_pool_and_scores_nothing(own_project):
    config = small_config()
    config["selection"] |= {"strategies": ["semdedup", "d2.loss"], "controls": []}
    names = [f"{name}-40-s0" for name in config["selection"]["strategies"]]
    targets = [f"results/small/coresets/{name}/coreset.parquet" for name in names]
    planned = {"embeddings", "merge_embeddings", "column", "select"}
    assert own_project.planned(config, *targets) == planned
    own_project.run(config, *targets)
    first, second = (own_project.folder / path for path in targets)
    assert pl.read_parquet(first)["seq_id"].n_unique() == 40
    assert first.read_bytes() != second.read_bytes()
    assert own_project.planned(config, *targets) == set()
    embeddings = own_project.folder / "results/small/influence/embeddings.npy"
    before = embeddings.read_bytes()
    assert not [*embeddings.parent.glob("embeddings/**/*.safetensors")]  # they are in it
    config["influence"]["shards"] = 3
    own_project.run(config, "scores")
    assert embeddings.read_bytes() == before
    assert own_project.planned(config, *targets) == set()
    config["selection"]["embedding"] = {"threshold": 0.5}
    assert own_project.planned(config, *targets) == {"select"}


def test_a_round_trains_what_is_new_and_the_page_is_of_what_is_there(project):
    config = small_config()
    done = {"strategies": ["top_influence"], "budgets": [40], "seeds": [0], "tasks": ["domain"]}
    config["study"] = {"rounds": {"done": done, "new": {**done, "seeds": [0, 1], "budgets": [30]}}}
    assert project.planned(config, "study_done") == set()
    planned = project.planned(config, "study_new")
    assert {"study_new", "select", "pretrain", "heldout"} <= planned
    assert not planned & SCORING
    project.run(config, "study")
    page = (project.folder / "results/small/study/page/small.md").read_text()
    assert "Not run: new: domain." in page
    runs = pl.read_parquet(project.folder / "results/small/study/page/small/runs.parquet")
    models = set(runs.filter(pl.col("task") == "heldout_pool")["model"])
    assert models == {"top_influence-40-s0", "untrained-s0", "unigram"}
    measured = set(runs.filter(pl.col("task") == "domain")["model"])
    assert {"top_influence-40-s0", "untrained-s0"} <= measured
    assert "- domain, against untrained: " in page
    assert project.planned(config, "study") == set()
    # Goes on from that page where a model's figures are gone.
    shutil.copytree(project.folder / "results/small/study/page/small", project.folder / "kept")
    results = project.folder / "results/small"
    gone = [
        results / "heldout/losses/untrained-s0.parquet",
        results / "evaluation/domain/untrained-s0",
    ]
    for i, path in enumerate(gone):
        path.rename(project.folder / f"gone{i}")
    config["study"]["kept"] = "kept"
    assert project.planned(config, "study") == {"study_runs", "study"}
    project.run(config, "study")
    again = pl.read_parquet(project.folder / "results/small/study/page/small/runs.parquet")
    assert again.equals(runs)
    page = (project.folder / "results/small/study/page/small.md").read_text()
    assert "are figures of 1 models." in page
    for i, path in enumerate(gone):
        (project.folder / f"gone{i}").rename(path)
    (project.folder / "kept/facts.json").unlink()
    done = project.run(config, "-n", "study", check=False)
    assert "study.kept.1: no such file or folder" in done.stdout + done.stderr


def test_a_new_damping_does_not_finetune(project):
    config = small_config()
    config["influence"]["damping"] = 0.5
    planned = project.planned(config)
    assert {"score", "merge", "select"} <= planned
    assert not planned & {"ingest", "subset", "base", "finetune", "fisher_part", "fisher"}


def test_another_draw_of_the_subset_scores_anew_and_makes_no_pool(project):
    config = small_config()
    config["subset"]["seed"] = 42  # the run's own
    assert project.planned(config) == {"export_coreset"}  # a recipe holds the config
    config["subset"]["seed"] = 43
    planned = project.planned(config, "scores")
    assert {"subset", "finetune", "score"} <= planned
    assert not planned & {"ingest", "deduplicate", "split", "features"}


def test_other_masks_train_nothing(project):
    config = small_config()
    config["heldout"]["n_masks"] = 2
    assert project.planned(config) == LOSSES


def test_a_new_grouping_scores_nothing(project):
    config = small_config()
    config["corpus"]["groups"] = {"rrna": {"regex": r"(\d+S) rRNA"}}
    config["heldout"]["near"] = 0.3
    assert project.planned(config) == {"label", *GROUPED}


def test_another_share_held_out_reads_no_fasta(project):
    config = small_config()
    config["heldout"]["share"] = 0.2
    assert project.planned(config) == SPLIT


def test_more_tested_of_what_is_held_out_changes_no_pool(project):
    config = small_config()
    config["heldout"]["size"] = 5
    config["corpus"]["low_complexity"] = {"action": "keep", "share": 0.1}  # of no use
    assert project.planned(config) == HELD_OUT | CARDS


def test_a_new_task_does_not_train(project):
    config = small_config()
    config["decontaminate"]["enabled"] = True
    config["evaluate"] |= {"seeds": [0, 1], "precision": "bf16"}
    assert project.planned(config) == {"evaluate_domain", "cnn_domain", "join_seeds", *PAGE}


@pytest.mark.long
def test_a_new_task_that_takes_nothing_from_the_pool_trains_nothing(own_project):
    """The pool goes first, and then is seen to be the same."""
    config = small_config()
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice(list("ACGU"), 60)) for _ in range(40)]
    rows = [f"{text},{i % 2},{('train', 'test')[i // 30]}" for i, text in enumerate(texts)]
    (own_project.folder / "more.csv").write_text("\n".join(["sequence,label,split", *rows]))
    config["tasks"]["more"] = {"kind": "class", "epochs": 1, "data": {"path": "more.csv"}}
    assert {"decontaminate", "base", "score", "pretrain"} <= own_project.planned(config)
    made = ("corpus/summary.json", "influence/subset.parquet")
    own_project.run(config, *(f"results/small/{path}" for path in made))
    planned = own_project.planned(config)
    assert {"evaluate_more", "results"} <= planned
    assert not planned & {"base", "finetune", "score", "select", "pretrain", "evaluate_domain"}


def test_a_protocol_of_some_rows_evaluates_these_only(project):
    """A second task on the same files changes no pool, and other rows no row."""
    config = small_config()
    domain = config["tasks"]["domain"]
    config["tasks"] = {
        "domain": domain | {"rows": ["top_influence", "untrained", "cnn"]},
        "twin": domain | {"rows": ["random_tokens:top_influence"], "sample": {"train": 50}},
    }
    config["evaluate"]["seeds"] = [0]
    done = project.run(config, "-n")
    text = done.stdout + done.stderr
    planned = set(re.findall(r"^(?:local)?rule (\w+):$", text, re.M)) - {"all"}
    assert planned == {"evaluate_twin", "baseline_twin", "nearest", *PAGE, *CARDS}
    found = re.findall(r"evaluation/twin/([^/]+)/metrics.json$", text, re.M)
    assert len(re.findall(r"^rule evaluate_twin:$", text, re.M)) == 1, found


def test_a_task_s_name_and_place_change_no_pool(project):
    config = small_config()
    domain = config["tasks"]["domain"]
    config["tasks"] = {"a_twin": domain, "domain": domain}
    planned = project.planned(config)
    assert planned == {"evaluate_a_twin", "baseline_a_twin", "cnn_a_twin", "nearest", *PAGE, *CARDS}


def test_a_changed_map_beside_its_table_reruns_what_reads_it(project):
    (project.folder / "maps/npy").mkdir(parents=True)
    rows = [("train", "ACGU"), ("train", "GGCC"), ("valid", "AACC"), ("test", "GCAU")]
    lines = [f"{i},{sequence},{split}" for i, (split, sequence) in enumerate(rows)]
    (project.folder / "maps/t.csv").write_text("\n".join(["id,sequence,split", *lines]))
    for i in range(len(rows)):
        np.save(project.folder / f"maps/npy/{i}.npy", np.eye(4))
    config = small_config()
    data = {"path": "maps/t.csv", "label": "npy/{id}.npy"}
    config["tasks"]["map"] = {"kind": "pairwise", "data": data}
    target = "results/small/evaluation/map/kmer/metrics.json"
    project.run(config, target)
    (project.folder / "maps/npy/0.npy").touch()
    assert project.planned(config, target) == set()
    np.save(project.folder / "maps/npy/0.npy", np.zeros((4, 4)))
    assert project.planned(config, target) == {"baseline_map"}


def test_a_new_variant_needs_its_own_sums_only(project):
    config = small_config()
    config["influence"]["variants"] = {"other": {"curvature": "ekfac"}}
    done = project.run(config, "-n", "scores")
    jobs = re.findall(r"^    wildcards: (.*kind=.*)$", done.stdout + done.stderr, re.M)
    assert {re.search(r"kind=(\w+)", job)[1] for job in jobs} == {"kronecker", "corrected"}


def test_a_new_target_needs_its_own_gradient_only(project):
    config = small_config()
    config["influence"]["targets"] = {
        "file": {"fasta": "b.fasta"},
        "task": {"task": "domain"},
        "held": {"heldout": "pool"},
    }
    planned = project.planned(config, "scores")
    assert {"target", "task_fasta", "score", "merge", "describe_scores"} <= planned
    assert not planned & {"subset", "base", "finetune", "fisher_part", "fisher", "identity"}


DRAWN = {"select", "export_coreset", "describe_coresets", "embed", *TRAINED}
SCORED = {"score", "merge", "column", "describe_scores", *DRAWN}
TUNED = {"finetune", "fisher_part", "fisher", "identity", *SCORED}
#: Rows from sequence alone.
ALONE = {"baseline_domain", "cnn_domain"}
#: What reads groups that no selection asks for.
GROUPED = {"group", "merge_groups", "heldout_groups", "describe_coresets", *CARDS, *PAGE}
LOSSES = {"heldout", "heldout_unigram", *PAGE}
HELD_OUT = {"heldout_sets", "heldout_groups", *LOSSES}
#: What reads the pool proper.
SPLIT = {
    *("split", "summarise_corpus", "check_budgets", "merge_groups", "features", "subset", "base"),
    *("corpus_card", "nearest"),
    *HELD_OUT,
    *TUNED,
}
POOLED = {"decontaminate", *SPLIT}
INGESTED = {"ingest", "deduplicate", "group", *POOLED}

#: Where a harmless key is added, and the rules that may come to another result by it.
SETTINGS = [
    ("dag/settings.py", "Download", set()),
    ("corpus/settings.py", "Corpus", INGESTED),
    ("corpus/settings.py", "Heldout", set()),
    ("corpus/settings.py", "Decontaminate", POOLED),
    ("corpus/settings.py", "Subset", {"export_coreset"}),
    ("training/settings.py", "Base", {"base", *TUNED}),
    ("training/settings.py", "Finetune", TUNED),
    ("training/settings.py", "Pretrain", TRAINED),
    ("influence/settings.py", "Influence", {"fisher_part", "fisher", "identity", *SCORED}),
    # A draw depends on what its own name asks for.
    ("selection/settings.py", "Selection", {"export_coreset"}),
    ("selection/settings.py", "Cci", {"describe_coresets", "make_report", "export_coreset"}),
    ("tasks/settings.py", "Task", {"evaluate_domain", *ALONE, *PAGE, *CARDS}),
    ("tasks/settings.py", "Evaluate", {"evaluate_domain", *ALONE, *PAGE}),
    ("tasks/readers/settings.py", "TaskData", {"protected", *ALONE, *POOLED}),
    ("report/settings.py", "Report", set()),
    ("validate/settings.py", "Validate", set()),
    ("study/settings.py", "Study", set()),
]
#: Where a column is added to a table.
TABLES = [
    (
        "corpus/tables.py",
        "SEQUENCE",
        {"protected", *ALONE, *INGESTED},
    ),
    ("influence/tables.py", "SCORE", {"identity", *SCORED}),
    ("selection/tables.py", "CORESET", DRAWN),
    ("heldout/tables.py", "HELD_OUT_LOSS", LOSSES),
    ("tasks/tables.py", "PREDICTION", {"evaluate_domain", "nearest", *ALONE, *PAGE}),
    ("report/tables.py", "EMBEDDING", {"embed", *PAGE}),
]
#: Where a line of code is added.
CODE = [
    ("report/page.py", {"make_report"}),
    ("report/results.py", PAGE),
    ("report/plots.py", {"describe_scores", "describe_coresets", "embed", *PAGE}),
    ("selection/cci.py", DRAWN),
    ("selection/names.py", {"check_budgets", "describe_scores", *DRAWN}),
    ("training/mlm.py", {"base", *TUNED}),
    ("tasks/seeds.py", {"evaluate_domain", *ALONE, *PAGE}),
    ("corpus/labels.py", GROUPED),
    ("corpus/candidates.py", {"nearest", *PAGE}),
    ("corpus/windows.py", INGESTED),
    ("corpus/heldout.py", HELD_OUT),
    ("corpus/kmers.py", POOLED),
    (
        "corpus/features.py",
        {"features", "describe_scores", "describe_coresets", "make_report", *CARDS},
    ),
    ("export/card.py", CARDS),
    ("export/coreset.py", {"export_coreset"}),
    ("heldout/reading.py", TRAINED),
    ("heldout/rows.py", LOSSES),
    ("cost/estimate.py", set()),
    ("config.py", set()),
]


def test_an_edited_model_preset_reruns_what_it_shapes(project):
    path = project.folder / "resources/models/tiny.yaml"
    text = path.read_text()
    path.write_text(text + "# only a comment\n")
    assert project.planned(small_config()) == set()
    path.write_text(text.replace("hidden_size: 64", "hidden_size: 32"))
    planned = project.planned(small_config())
    path.write_text(text)
    assert {"base", "finetune", "score", "select", "pretrain", "evaluate_domain"} <= planned
    assert not planned & {"ingest", "subset", *ALONE}


def test_an_edited_figure_of_the_paper_remakes_the_tables(project):
    (path,) = (project.folder / "resources/paper").glob("*.csv")
    text = path.read_text()
    path.write_text(text.replace("1", "2"))
    planned = project.planned(small_config())
    path.write_text(text)
    assert planned == {"results", "make_report"}


@pytest.fixture
def edited(project):
    """Edit a module by a regular expression -> rules that a dry run then plans; undone after."""
    undo = []

    def plan(module, pattern, replacement):
        path = project.folder / "workflow/coresift" / module
        text = path.read_text()
        undo.append((path, text))
        changed, n = re.subn(pattern, replacement, text, count=1, flags=re.S)
        assert n == 1
        path.write_text(changed)
        return project.planned(small_config())

    yield plan
    for path, text in undo:
        path.write_text(text)


@pytest.mark.parametrize(("module", "section", "rules"), SETTINGS)
def test_a_key_reruns_what_reads_its_section(edited, module, section, rules):
    head = rf'(\nclass {section}\(\w+\):\n    """.*?"""\n)'
    assert edited(module, head, r"\1\n    harmless: int = 0\n") == rules


@pytest.mark.parametrize(("module", "table", "rules"), TABLES)
def test_a_column_reruns_what_writes_and_reads_its_table(edited, module, table, rules):
    head = rf"(\n{table}: Schema = {{\n)"
    assert edited(module, head, r'\1    "harmless": pl.Int32,\n') == rules


@pytest.mark.parametrize(("module", "rules"), CODE)
def test_code_reruns_what_imports_it(edited, module, rules):
    assert edited(module, r"$", "\nEDITED = True\n") == rules


def test_what_is_written_for_people_reruns_nothing(edited):
    edited("training/mlm.py", r"BERT masking of", "# BERT\u2019s masking of")
    edited("training/stream.py", r"\n@dataclass", "\n# A comment.\n@dataclass")
    meaning = ("share of steps with rising rate", "share of steps while the rate rises")
    assert edited("training/settings.py", *meaning) == set()
