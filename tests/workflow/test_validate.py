"""The target `validate` in a copy of the project: what it plans, and one small check for real."""

import re

import polars as pl
import pytest
from coresift.files import read_json
from coresift.validate.agreement import AGREEMENT
from project import small_config

pytestmark = pytest.mark.workflow


def validate_config():
    config = small_config()
    training = {"tokens_per_step": 512, "tokens_per_batch": 1024, "learning_rate": 1e-3}
    config["validate"] = {
        "scores": ["influence"],
        "budget": 5,
        "heldout_size": 10,
        "lds": {"sequences": 12, "subsets": 4, "seeds": [0], "epochs": 1},
        "loo": {"sequences": 4, "seeds": [0], "epochs": 1},
        "stability": {
            **{"sequences": 20, "draws": [7], "seeds": [1]},
            **{"sizes": [0.5], "epochs": [0], "widths": [2]},
        },
        "training": training,
        "models": ["pool", "finetuned"],
        "losses": ["unmasked"],
        "damping": [0.1],
        "jobs": 1,
        "bootstrap": 50,
    }
    return config


def counts(done):
    """Planned jobs by rule."""
    table = re.search(r"Job stats:\n.*?\n-+.*?\n(.*?)\ntotal", done.stdout + done.stderr, re.S)[1]
    return {name: int(n) for name, n in (line.split() for line in table.splitlines())}


def test_what_the_target_plans(project):
    planned = counts(project.run(validate_config(), "-n", "validate"))
    one_seed, settings = 11, 6  # ten deciles and the random control; own and five changed
    assert {name: n for name, n in planned.items() if not name.startswith("validate")} == {
        "select": one_seed,
        "pretrain": one_seed,
        "heldout": one_seed,
    }
    assert {name: n for name, n in planned.items() if name.startswith("validate_")} == {
        **{
            "validate_draw": 1,
            "validate_retrain": 2,
            "validate_reference": 2,
            "validate_predict": 4,
        },
        **{"validate_agreement": 2, "validate_deciles": 1, "validate_page": 1},
        **{"validate_subset": 3, "validate_base": 3, "validate_finetune": 5},
        **{"validate_scores": settings, "validate_stability": 1},
    }


def test_a_base_of_more_than_the_subset_is_made_again_only_where_it_is_another(project):
    config = validate_config()
    size = config["subset"]["size"]
    config["base"] = {**config.get("base", {}), "size": size + 10}
    config["validate"] |= {"scores": [], "lds": None, "loo": None}
    config["validate"]["stability"] |= {"sizes": [0.5, (size + 11) / size], "epochs": []}
    planned = counts(project.run(config, "-n", "validate"))
    # Another seed, a width, a D_sub larger than what the base is of; no draw, no smaller one.
    assert (planned["base"], planned["validate_base"], planned["validate_subset"]) == (1, 3, 5)
    assert planned["validate_scores"] == 6


def test_what_is_left_out_is_not_planned(project):
    config = validate_config()
    config["validate"] |= {"scores": [], "stability": None, "loo": None, "models": ["pool"]}
    planned = project.planned(config, "validate")
    assert planned == {
        f"validate_{name}"
        for name in ("draw", "reference", "retrain", "predict", "agreement", "page")
    }
    config["validate"]["heldout"] = "trna"
    done = project.run(config, "-n", "validate", check=False)
    assert done.returncode
    assert "validate.heldout: no held-out set 'trna'; there is: pool" in done.stdout + done.stderr
    assert project.planned(config) == set()  # the run itself does not look at it


@pytest.mark.long
def test_a_small_score_for_real(project):
    config = validate_config()
    out = project.folder / "results/small"
    project.run(config, "results/small/validate/lds.csv")
    table = pl.read_csv(out / "validate/lds.csv", schema_overrides=AGREEMENT)
    assert table.columns == list(AGREEMENT)
    # Models; parameters, curvatures, scores, weights; controls.
    assert table.height == 2 * (2 * 4 * 2 * 2 + 2)
    assert set(table["n"]) == {4}
    assert table.filter(pl.col("score") == "target")["spearman"].null_count() == 0
    noise = pl.read_csv(out / "validate/lds_noise.csv")
    assert 1.0 < noise["letters"].item() < 1.4  # nats; four letters alike are 1.386
    digests = project.digests("small", ("validate/*.csv", "validate/lds/losses/*/*.parquet"))
    finished = {path: path.stat().st_mtime_ns for path in (out / "work/validate").rglob("*.*")}
    assert len(finished) == 4
    config["validate"]["jobs"] = 2
    project.run(config, "results/small/validate/lds.csv")
    log = (out / "logs/validate_retrain-lds-1.log").read_text()
    assert "run 3 seed 0" in log
    assert {path: path.stat().st_mtime_ns for path in finished} == finished  # nothing anew
    again = project.digests("small", ("validate/*.csv",))
    assert again == {name: digests[name] for name in again}


def test_a_budget_above_a_tenth_of_the_pool_is_an_early_error(project):
    config = validate_config()
    config["validate"]["budget"] = 40
    done = project.run(config, "validate", check=False)
    assert done.returncode
    pool = read_json(project.folder / "results/small/corpus/summary.json")["pool"]
    log = (project.folder / "results/small/logs/validate_draw.log").read_text()
    tenth = f"the {pool // 10} sequences that decile_0, a tenth of the {pool}, has"
    assert f"40 is larger than {tenth}" in log
