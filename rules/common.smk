"""Validated config and the helpers every rule file uses."""

import json
import os
import re
import sys

ROOT = workflow.basedir
LIBRARY = os.path.join(ROOT, "workflow")
sys.path.insert(0, LIBRARY)

from coresift.alphabet import ALPHABETS
from coresift.config import (
    MAP_ENDINGS,
    INERT,
    ConfigError,
    Optimisation,
    check_downloads,
    check_paths,
    load_config,
    plain,
    source_name,
)
from coresift.corpus.blocks import overlapping
from coresift.dag.code import Sources
from coresift.dag.environment import export_library
from coresift.dag.fingerprints import Fingerprints
from coresift.dag.readonly import read_only_records
from coresift.files import read_yaml
from coresift.models.settings import architecture
from coresift.selection.names import (
    BUDGET,
    CORESET_NAME,
    SELECTION,
    STRATEGIES,
    coreset_name,
    parse_coreset,
    row_name,
)
from snakemake.exceptions import WorkflowError

export_library()
read_only_records(workflow.snakemake_tmp_dir / "records")


def out(path):
    """A path under the run's own results folder."""
    return f"results/{CFG.run}/{path}"


try:
    for path in workflow.configfiles:
        read_yaml(path)  # Snakemake takes the last of two equal keys
    CFG = load_config(config)
    hashed = Fingerprints(out("fingerprints.json"))
    PARSED = Sources(out("code.json"))
    if workflow.is_main_process:  # jobs read this file again
        check_paths(CFG)
        check_downloads(CFG, lambda path, name: hashed(path, algorithm=name))
except (ConfigError, ValueError) as error:
    raise WorkflowError(str(error)) from None


def log_of(name):
    """Log file of a rule."""
    return out(f"logs/{name}.log")


def bench(name):
    """Benchmark file of a rule: wall time, CPU, peak memory."""
    return out(f"benchmarks/{name}.tsv")


def code(script):
    """Digest of a script and what it imports, see coresift.dag.code."""
    return PARSED.digest(os.path.join(LIBRARY, "scripts", f"{script}.py"))


def memory(mb):
    """Memory that grows with each retry."""
    return lambda wildcards, attempt: mb * attempt


def runtime(minutes):
    """Minutes, or a function of the wildcards that gives them, that grow with each retry."""
    given = minutes if callable(minutes) else lambda wildcards: minutes
    return lambda wildcards, attempt: given(wildcards) * attempt


def checkpoint_of(wildcards):
    """The checkpoint an evaluation is of: a coreset's, or one given by path."""
    path = CFG.evaluate.checkpoints.get(wildcards.name)
    return out(f"models/{wildcards.name}/checkpoint") if path is None else given(path)


def content_of(wildcards):
    """What a checkpoint given by path holds; of a coreset's the rules take care."""
    path = CFG.evaluate.checkpoints.get(wildcards.name)
    return None if path is None else fingerprint(path)


def given(path):
    """An input that the config names: its content counts (`fingerprint`), not its time.

    Not so where a rule makes it. Behind an ancient input that has to be made again, Snakemake
    (9.27.1) looks at nothing.
    """
    made = path in CFG.downloads or path.startswith(out(""))
    return path if made else ancient(path)


def fingerprint(path):
    """What an input holds: a download's address (it may not be here yet), or a hash.

    Size and checksum, given later, say of the same file what it must be (`check_downloads`).
    """
    source = CFG.downloads.get(path)
    if path.startswith(out("")):
        return None
    return hashed(path) if source is None else source.url


def contents(task):
    """What a task's files hold, and the maps beside its tables that labels may name."""
    files = [fingerprint(path) for path in task.data.files()]
    return files + [hashed(folder, MAP_ENDINGS) for folder in task.map_folders()]


def available(path):
    """Whether a file is here or can be downloaded."""
    return path in CFG.downloads or os.path.exists(path)


def notice(text):
    """A line on the terminal, once a run and not once a job."""
    if workflow.is_main_process:
        print(text, file=sys.stderr)


def on_gpu():
    """Resources of a GPU job: a GPU, and the partition and type that the profile names for it.

    `gpu_partition` and `gpu_type` are entries of default-resources, see slurm/config.yaml.
    """
    if CFG.device == "cpu":
        return {}
    defaults = workflow.resource_settings.default_resources or {}
    entries = {"slurm_partition": "gpu_partition", "gpu_model": "gpu_type"}
    given = {
        key: defaults[name].raw for key, name in entries.items() if name in defaults
    }
    return {"gpu": 1, **given}


GPU = on_gpu()
SOURCES = {source_name(path): path for path in CFG.corpus.fasta}
BASE_SOURCES = [source_name(path) for path in CFG.subset.fasta or CFG.corpus.fasta]
BUCKETS = range(CFG.corpus.buckets)
SHARDS = range(CFG.influence.shards)
SUBSET_SEED = CFG.seed if CFG.subset.seed is None else CFG.subset.seed
# A pinned D_sub has its own pool even while the files are the same: adding one changes no path.
BASE_SET = "corpus" if CFG.subset.fasta is None else "base"
BUDGETS = [*map(str, CFG.selection.budgets)]
CORESETS = [
    coreset_name(selection, budget, seed)
    for selection in CFG.selection.names
    for budget in BUDGETS
    for seed in CFG.selection.seeds
]
#: Where every training of a coreset starts: the same weights, untouched.
UNTRAINED = [f"untrained-s{s}" for s in CFG.selection.seeds if CFG.evaluate.untrained]
MODELS = [*CORESETS, *UNTRAINED, *CFG.evaluate.checkpoints]
MODEL_NAME = "|".join(
    [CORESET_NAME, r"untrained-s\d+", *map(re.escape, CFG.evaluate.checkpoints)]
)
TASKS = {
    name: task
    for name, task in CFG.tasks.items()
    if not task.optional or all(map(available, task.data.files()))
}
for name in sorted(set(CFG.tasks) - set(TASKS)):
    absent = [path for path in CFG.tasks[name].data.files() if not available(path)]
    notice(f"task {name}: left out, not here: {', '.join(absent)}")
#: Rows without a checkpoint.
BASELINES = ["constant", "kmer"]
#: Tasks with a row of the supervised network: their input is one sequence.
CNN_TASKS = [name for name in CFG.cnn_tasks() if name in TASKS]
for path in CFG.unused_downloads():
    notice(f"downloads: no key of the config names {path}")


wildcard_constraints:
    source="|".join(map(re.escape, SOURCES)),
    bucket=r"\d+",
    shard=r"\d+",
    set="corpus|base",
    selection=SELECTION,
    budget=BUDGET,
    seed=r"\d+",
    name=MODEL_NAME,
    task="[a-z0-9_]+",
    baseline="|".join(BASELINES),
    split="train|valid",
