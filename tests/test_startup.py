"""A job starts light: what the scripts must not import, and what their first work must not pull in.

Seconds of CPU in every job: benchmarks/startup has the figures.
"""

import importlib.util
import subprocess
import sys

import pytest

LEARNING = {"torch", "transformers", "tokenizers", "sklearn"}
TABLES = {"scipy", "pandas", "Bio"}
#: Scripts and modules that they may not load. Two processes, each from light to heavy.
FORBIDDEN = {
    "without torch": [
        (
            [
                *(
                    "ingest",
                    "deduplicate",
                    "subset",
                    "decontaminate",
                    "cluster",
                    "sources",
                    "column",
                ),
                *("label", "group", "merge_groups", "features", "split", "join_seeds"),
                *("heldout_sets", "heldout_groups", "heldout_unigram", "validate_draw"),
            ],
            {*LEARNING, *TABLES, "matplotlib", "pydantic"},
        ),
        (
            [
                *("summarise_corpus", "check_budgets", "merge", "select", "protected"),
                *("task_fasta", "corpus_card", "export_coreset"),
            ],
            {*LEARNING, *TABLES, "matplotlib", "faiss"},
        ),
        (["make_report"], {*LEARNING, *TABLES}),
        (["describe_scores", "describe_coresets"], {*LEARNING, "pandas", "Bio"}),
        (["nearest"], {*LEARNING, "pandas"}),
        (["results", "evaluation", "baseline"], {"torch", "transformers", "tokenizers"}),
        (["study_runs", "study_page"], {"torch", "transformers", "tokenizers"}),
        (
            [f"validate_{name}" for name in ("deciles", "agreement", "stability", "page")],
            {"torch", "transformers", "tokenizers"},
        ),
    ],
    # transformers' models bring torch._dynamo, sympy and scipy with them: 60 % of the start.
    "with torch": [
        (
            [
                *("base", "finetune", "pretrain", "score", "embeddings", "fisher_part", "fisher"),
                *("untrained", "heldout", "target", "identity", "merge_embeddings"),
                *(f"validate_{n}" for n in ("reference", "retrain", "predict", "scores")),
            ],
            {"accelerate", "matplotlib", "sklearn", "pandas", "Bio"},
        ),
        (["evaluate", "cnn"], {"accelerate", "matplotlib"}),
        (["embed"], {"accelerate"}),
    ],
}


@pytest.fixture(scope="module")
def startup(root):
    """benchmarks/startup/run.py as a module."""
    spec = importlib.util.spec_from_file_location("startup", root / "benchmarks/startup/run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def inputs(startup, tmp_path_factory):
    """A folder with the input files of the jobs."""
    folder = tmp_path_factory.mktemp("startup")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(startup.PREPARE, {})
    return folder


def test_every_script_is_in_the_table(root):
    scripts = {path.stem for path in (root / "workflow/scripts").glob("*.py")}
    rows = [row for process in FORBIDDEN.values() for row in process]
    assert {name for names, _ in rows for name in names} == scripts - {"download"}


@pytest.mark.parametrize("process", FORBIDDEN)
def test_jobs_start_light(root, startup, inputs, tmp_path, process):
    for path in inputs.iterdir():
        (tmp_path / path.name).symlink_to(path)
    code = ["import sys"]
    for scripts, forbidden in FORBIDDEN[process]:
        for script in scripts:
            code += [
                startup.imports(root, script) + startup.JOBS.get(script, ""),
                f"print({script!r}, *sorted({forbidden!r} & set(sys.modules)), sep=' loads ')",
            ]
    command = [sys.executable, "-c", "\n".join(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [script for scripts, _ in FORBIDDEN[process] for script in scripts]
    assert done.stdout.splitlines() == names
