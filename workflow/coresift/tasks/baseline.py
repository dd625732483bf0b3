"""What a model must beat on a task: the same splits and metrics, from sequence alone.

Whole sequences: logistic or ridge regression on counts of 1- to 3-mers, and on the letters by
position where all sequences have one length. Residues: logistic regression on the letters of a
window. Pairs of residues: train's mean target by separation and length of the complementary stem.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MaxAbsScaler

from coresift.alphabet import ALPHABETS
from coresift.models.cropping import count_cropped
from coresift.tasks.data import SPLITS, Examples, read_task
from coresift.tasks.result import result
from coresift.tasks.sample import MASKED, make_sample
from coresift.tasks.settings import Task
from coresift.tasks.targets import ScaledTargets, check_known, make_targets

#: Residues on each side of the one that is classified.
WINDOW = 7
#: Longest stem told apart, and separations told apart before they are cut logarithmically.
MAX_STEM, MAX_SEPARATION = 9, 64
N_SEPARATIONS = MAX_SEPARATION + 32


def baseline(task: Task, modality: str) -> tuple[dict[str, Any], pl.DataFrame]:
    """Metrics and predictions of the baseline, as `evaluate_task` gives them (one seed, 0)."""
    examples = read_task(task, modality)
    targets = make_targets(task, examples.frame, modality)
    lengths = examples.frame["sequence"].str.len_chars().to_numpy()
    known = ScaledTargets(task, targets, lengths, task.max_tokens - 2, examples.indices("train"))
    check_known(task, targets, known, {split: examples.indices(split) for split in SPLITS})
    # Whole sequences are read whole.
    room = task.max_tokens - 2 if task.kind in ("token", "pairwise") else int(lengths.max())
    cropped = count_cropped(lengths, room)
    fitted = {"token": _residues, "pairwise": _pairs}.get(task.kind, _sequences)
    predictions = fitted(task, examples, known, modality)
    sample = make_sample(task, known, examples.indices("test"), predictions)
    return result(
        task, examples, targets, {0: sample}, {"model": "kmer", "mode": "kmer", "cropped": cropped}
    )


def _sequences(
    task: Task, examples: Examples, known: ScaledTargets, modality: str
) -> Iterator[np.ndarray]:
    train, test = examples.indices("train"), examples.indices("test")
    columns = ["sequence", "partner"] if task.two_sequences else ["sequence"]
    x = sparse.hstack([_counts(examples.frame[c], train) for c in columns], format="csr")
    y = np.concatenate([known.raw(i) for i in train])
    logistic = LogisticRegression(max_iter=1000)
    if task.target == "multilabel":
        model = OneVsRestClassifier(logistic).fit(x[train], y.astype(int))
        yield from model.predict_proba(x[test])[:, None, :]
    else:
        model = Ridge() if task.target == "scalar" else logistic
        yield from model.fit(x[train], y).predict(x[test]).astype(float)[:, None]


def _counts(texts: pl.Series, train: np.ndarray) -> sparse.csr_matrix:
    """(n, features) k-mer counts scaled to at most 1; letters by position too, if of one length."""
    counter = CountVectorizer(analyzer="char", ngram_range=(1, 3), lowercase=False)
    values = texts.to_list()
    counter.fit([values[i] for i in train])
    counts = counter.transform(values)
    blocks = [MaxAbsScaler().fit(counts[train]).transform(counts)]
    if texts.str.len_chars().n_unique() == 1:
        letters = np.array([list(value) for value in values])
        blocks += [sparse.csr_matrix(letters == letter) for letter in np.unique(letters[train])]
    return sparse.hstack(blocks, format="csr", dtype=np.float64)


def _residues(
    task: Task, examples: Examples, known: ScaledTargets, modality: str
) -> Iterator[np.ndarray]:
    train, test = examples.indices("train"), examples.indices("test")
    sequences = examples.frame["sequence"].to_list()
    letters = "".join(sorted(set("".join(sequences[i] for i in train))))
    windows = [_windows(sequences[i][: known.length(i)], letters) for i in train]
    y = np.concatenate([known.raw(i) for i in train])
    x = sparse.vstack(windows, format="csr")[y != MASKED]
    model = LogisticRegression(max_iter=200).fit(x, y[y != MASKED])
    for i in test:
        yield model.predict(_windows(sequences[i][: known.length(i)], letters))


def _windows(sequence: str, letters: str) -> sparse.csr_matrix:
    """(residues, (2 WINDOW + 1) * letters) one-hot letters around each residue."""
    codes = np.array([letters.find(c) for c in sequence])
    size, width = len(codes), len(letters)
    padded = np.pad(codes, WINDOW, constant_values=-1)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * WINDOW + 1)
    rows, places = np.nonzero(around >= 0)
    columns = places * width + around[rows, places]
    shape = (size, (2 * WINDOW + 1) * width)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape)


def _pairs(
    task: Task, examples: Examples, known: ScaledTargets, modality: str
) -> Iterator[np.ndarray]:
    train, test = examples.indices("train"), examples.indices("test")
    sequences = examples.frame["sequence"].to_list()

    def categories(example: int) -> np.ndarray:
        return pair_categories(sequences[example][: known.length(example)], modality)

    size = (MAX_STEM + 1) * N_SEPARATIONS
    sums, counts = np.zeros(size), np.zeros(size)
    for i in train:
        target, category = known.raw(i).ravel(), categories(i).ravel()
        real = target != MASKED
        sums += np.bincount(category[real], target[real], size)
        counts += np.bincount(category[real], minlength=size)
    overall = sums.sum() / max(1.0, counts.sum())
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    for i in test:
        yield means[categories(i)]


def pair_categories(sequence: str, modality: str) -> np.ndarray:
    """(L, L) category of each pair: |i - j| (coarse above `MAX_SEPARATION`) and its stem.

    The stem is the run of complementary letters through (i, j) along i + 1, j - 1, at most
    `MAX_STEM` long; proteins have none.
    """
    codes = np.frombuffer(sequence.encode("ascii"), np.uint8)
    matches = np.zeros((256, 256), dtype=bool)
    for pair in ALPHABETS[modality].complements:
        matches[ord(pair[0]), ord(pair[1])] = True
    separation = np.abs(np.subtract.outer(np.arange(len(codes)), np.arange(len(codes))))
    matching = matches[codes[:, None], codes[None, :]] & (separation > 3)
    inward, outward = matching.astype(int), matching.astype(int)
    # After k rounds a run is right up to length k + 1.
    for _ in range(MAX_STEM - 1):
        inward[:-1, 1:] = matching[:-1, 1:] * (1 + inward[1:, :-1])
        outward[1:, :-1] = matching[1:, :-1] * (1 + outward[:-1, 1:])
    stem = np.where(matching, np.minimum(inward + outward - 1, MAX_STEM), 0)
    coarse = MAX_SEPARATION + (4 * np.log2(np.maximum(separation, 1) / MAX_SEPARATION)).astype(int)
    separation = np.where(separation < MAX_SEPARATION, separation, coarse)
    return stem * N_SEPARATIONS + np.minimum(separation, N_SEPARATIONS - 1)
