"""An epoch of sec_struct beside a literal BEACON head, and what buckets of like length save.

    PYTHONPATH=workflow .venv/bin/python benchmarks/evaluation/run.py [--sequences 200]

Real data of ../shared/data, encoder `tiny` with random weights, one thread. CPU seconds, for a busy
machine disturbs them less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beacon import Head, epoch
from coresift.files import read_yaml
from coresift.hashing import seeded_generator
from coresift.models.checkpoint import build_model
from coresift.models.states import EncoderStates
from coresift.models.tokenizer import Encoder
from coresift.tasks import problem as problems
from coresift.tasks.heads import form_of, make_head
from coresift.tasks.probe import Batches
from coresift.tasks.problem import Problem, read_problem
from coresift.tasks.settings import Evaluate, Task

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
#: Tasks of buckets, and optimiser steps timed of each.
BUCKETS = {"type_cls": 6, "sec_struct_3": 3, "localization": 4}
#: A budget that cuts nothing.
ONE_PASS = 1 << 40
PAIRWISE = ("sec_struct", "contact_map", "dist_map")


def task_of(name: str, **update: Any) -> Task:
    """A task of the configurations on shared data."""
    files = [read_yaml(ROOT / f"config/shared_{modality}.yaml") for modality in ("rna", "protein")]
    values = next(one["tasks"][name] for one in files if name in one["tasks"])
    data = values["data"].items()
    given = {k: str(ROOT / v) if str(v).startswith("../") else v for k, v in data if v is not None}
    for split in ("train", "test"):
        if str(given.get(split)).startswith("../"):
            given[split] = str(ROOT / given[split])
    return Task(**{**values, **update, "data": given})


def encoder_of(task: Task) -> EncoderStates:
    """The tiny encoder with the weights of seed 0."""
    model, tokenizer = build_model("tiny", str(task.modality), 0)
    encoder = Encoder.from_tokenizer(tokenizer, str(task.modality), task.max_tokens)
    return EncoderStates(model.base_model, encoder, form_of(task), task.max_tokens)


def problem_of(task: Task, room: int) -> Problem:
    """A task with the default budget of tokens."""
    return read_problem(task, str(task.modality), room, Evaluate().tokens_per_batch)


def cpu_seconds(run: Callable[[], Any]) -> float:
    """CPU seconds of `run`."""
    start = time.process_time()
    run()
    return time.process_time() - start


def drawn(examples: np.ndarray, n: int, key: str) -> np.ndarray:
    """`n` of the examples, at random."""
    return seeded_generator(0, "benchmark", key).permutation(examples)[:n]


def heads(n: int) -> None:
    """An epoch of `n` sequences with our head and batches, and as BEACON trains."""
    task = task_of("sec_struct", epochs=1, warmup_steps=0, schedule="constant")
    states = encoder_of(task)
    whole = problem_of(task, states.room)
    splits = {
        split: drawn(whole.splits[split], n if split == "train" else 1, split)
        for split in whole.splits
    }
    problem = replace(whole, splits=splits)
    texts = [problem.encoded[0][i] for i in splits["train"]]
    maps = [problem.scaled(int(i)) for i in splits["train"]]
    torch.manual_seed(0)
    ours = make_head(task, states.model.config.hidden_size, 1).eval()
    pair = task.pairwise
    beacon = Head(states.model.config.hidden_size, pair.channels, pair.blocks, pair.dropout).eval()
    beacon.load_state_dict(ours.state_dict())
    with torch.no_grad():
        rows = states(texts[:8])
        apart = max(
            float((one - beacon(row)).abs().max())
            for one, row in zip(ours(rows), rows, strict=True)
        )
    lengths = np.array([len(text) for text in texts])
    print(f"{n} sequences of TR0, mean length {lengths.mean():.0f}, longest {lengths.max()}")
    print(f"outputs of the two heads with the same weights differ by at most {apart:.1e}")
    # What a process does once: imports on first use, a first look at the data.
    replace(problem, splits={**splits, "train": splits["train"][:1]}).run_live(0, CPU, states)
    parameters = [*beacon.train().parameters(), *states.parameters()]
    literal = cpu_seconds(
        lambda: epoch(beacon, states.train(), parameters, texts, maps, task.learning_rate)
    )
    tuned = encoder_of(task)
    batched = cpu_seconds(lambda: problem.run_live(0, CPU, tuned))
    print("\n| one epoch | CPU s | ratio |\n|---|---|---|")
    print(f"| literal BEACON head, a sequence a pass | {literal:.1f} | 1 |")
    print(f"| coresift | {batched:.1f} | {literal / batched:.2f} |")


def one_map(size: int, width: int) -> None:
    """Forward and backward of both heads on one map, as wide as RNA-FM's states."""
    pair = task_of("sec_struct").pairwise
    states = torch.randn(size, width, requires_grad=True)
    ours = make_head(task_of("sec_struct"), width, 1)
    beacon = Head(width, pair.channels, pair.blocks, pair.dropout)
    seconds = [
        cpu_seconds(lambda: beacon(states).sum().backward()),
        cpu_seconds(lambda: ours([states])[0].sum().backward()),
    ]
    shown = f"{seconds[0]:.1f} | {seconds[1]:.1f} | {seconds[0] / seconds[1]:.2f}"
    print("\n| one pass, forward and backward | literal, CPU s | coresift | ratio |")
    print(f"|---|---|---|---|\n| {size} residues, states of {width} | {shown} |", flush=True)


def padding(problem: Problem, max_padding: float, budget: int) -> float:
    """Padded over real cost of an epoch's forward passes."""
    train, size = (
        drawn(problem.splits["train"], len(problem.costs), "epoch"),
        problem.task.batch_size,
    )
    batches = Batches(problem.costs, budget, max_padding)
    passes = [part for i in range(0, len(train), size) for part in batches.cut(train[i : i + size])]
    padded = sum(len(part) * int(problem.costs[part].max()) for part in passes)
    return padded / int(problem.costs[train].sum())


def bucket_row(name: str, steps: int) -> str:
    """Padding of an epoch and CPU time an example, whole batches and buckets of like length."""
    task = task_of(name, epochs=1, warmup_steps=0, patience=1)
    states = encoder_of(task)
    whole = problem_of(task, states.room)
    train = drawn(whole.splits["train"], steps * task.batch_size, "train")
    few = {split: members[:1] for split, members in whole.splits.items()}
    problem = replace(whole, splits={**few, "train": train})
    columns = []
    for limit, budget in ((1.0, ONE_PASS), (problems.MAX_PADDING, whole.budget)):
        problems.MAX_PADDING = limit
        live = replace(problem, budget=budget)
        seconds = cpu_seconds(lambda live=live: live.run_live(0, CPU, encoder_of(task)))
        columns.append((padding(whole, limit, budget), 1000 * seconds / len(train)))
    (before, slow), (after, fast) = columns
    shown = f"{before:.2f} | {after:.2f} | {slow:.1f} | {fast:.1f} | {slow / fast:.2f}"
    return f"| {name} | {task.batch_size} | {shown} |"


def area_row(name: str) -> str:
    """Padded over real pairs of a pairwise task's epoch."""
    task = task_of(name)
    problem = problem_of(task, task.max_tokens - 2)
    before = padding(problem, 1.0, ONE_PASS)
    limits = (problems.MAX_PADDING, problems.MAX_CPU_MAP_PADDING)
    gpu, cpu = (padding(problem, limit, problem.budget) for limit in limits)
    return f"| {name} | {task.batch_size} | {before:.2f} | {gpu:.2f} | {cpu:.2f} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=200)
    sequences = parser.parse_args().sequences
    torch.set_num_threads(1)
    heads(sequences)
    one_map(300, 640)
    columns = ("padded / real tokens, whole batches", "buckets", "CPU ms an example", "buckets")
    print(f"\n| task | batch | {' | '.join(columns)} | faster |\n|---|---|---|---|---|---|---|")
    for name, steps in BUCKETS.items():
        print(bucket_row(name, steps), flush=True)
    print("\n| task | batch | padded / real pairs, whole batches | by area | on a CPU |")
    print("|---|---|---|---|---|")
    for name in PAIRWISE:
        print(area_row(name), flush=True)


if __name__ == "__main__":
    main()
