"""The target `evaluate`, and jobs of seeds: dry runs in a project where nothing has been made."""

import re
from collections import Counter

import pytest
from coresift.models.checkpoint import build_model, save_model
from project import Project, copy_project, small_config

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def fresh(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh")
    copy_project(root, folder)
    save_model(folder / "given", *build_model("tiny", "rna", 5))
    return Project(folder)


def jobs(project, config, *arguments):
    """Number of jobs of each rule in a dry run."""
    done = project.run(config, "-n", *arguments)
    return Counter(re.findall(r"^(?:local)?rule (\w+):$", done.stdout + done.stderr, re.M))


def test_given_checkpoints_are_evaluated_without_training_or_scoring(fresh):
    config = small_config()
    config["evaluate"] |= {"seeds": [0, 1, 2], "checkpoints": {"given": "given"}}
    rows = {"given", "untrained"}
    assert jobs(fresh, config, "evaluate") == {
        "evaluate_domain": 3 * len(rows),
        "cnn_domain": 3,
        "join_seeds": 3,
        "baseline_domain": 2,
        "untrained": 1,
        "nearest": 1,
        "evaluation": 1,
        "evaluate": 1,
    }


@pytest.mark.parametrize(("size", "n"), [(2, 2), (3, 1)])
def test_seeds_may_share_a_job(fresh, size, n):
    config = small_config()
    config["evaluate"] |= {"seeds": [0, 1, 2], "seeds_per_job": size}
    found = jobs(fresh, config, "evaluate")
    assert found["evaluate_domain"] == found["cnn_domain"] == n
    assert found["join_seeds"] == (2 if n > 1 else 0)
