"""What a model must beat on a task: the same splits and metrics, from sequence alone.

`constant` predicts what train's labels alone tell: the commonest class, the mean, each label's
share, no base pair. `kmer` fits, for whole sequences, logistic or ridge regression on counts of 1-
to 3-mers, and on the letters by position where all sequences have one length; for residues,
logistic regression on the letters of a window; for pairs of residues, train's mean target by
separation and length of the complementary stem. Its penalty, or for base pairs its threshold, is
chosen on valid by the primary metric, as models are stopped.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from coresift.tasks.data import Examples, encoded_columns, read_task
from coresift.tasks.metrics import METRICS
from coresift.tasks.result import Run, result
from coresift.tasks.sample import MASKED, Sample, make_sample
from coresift.tasks.settings import LOWER_IS_BETTER, Task
from coresift.tasks.splits import SPLITS
from coresift.tasks.targets import ScaledTargets, check_known, make_targets
from coresift.tasks.thresholds import THRESHOLDS, moved

#: Residues on each side of the one that is classified.
WINDOW = 7
#: Longest stem told apart, and separations told apart before they are cut logarithmically.
MAX_STEM, MAX_SEPARATION = 9, 64
N_SEPARATIONS = MAX_SEPARATION + 32
#: What is tried on valid, from the strongest penalty down.
RIDGE_PENALTIES = (1e4, 1e3, 1e2, 1e1, 1.0, 0.1)
LOGISTIC_PENALTIES = (1e2, 1e1, 1.0, 0.1)

#: Example numbers -> one prediction an example.
Predict = Callable[[np.ndarray], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Data:
    """A task's examples, what is known of them, and the train split's numbers."""

    task: Task
    examples: Examples
    known: ScaledTargets
    modality: str
    train: np.ndarray


def baseline(task: Task, modality: str, name: str = "kmer") -> tuple[dict[str, Any], pl.DataFrame]:
    """Metrics and predictions of a baseline, as `evaluate_task` gives them (one seed, 0).

    Args:
        name: kmer or constant.
    """
    examples = read_task(task, modality)
    targets = make_targets(task, examples.frame, modality)
    lengths = examples.frame["sequence"].str.len_chars().cast(pl.Int64).to_numpy()
    train, valid, test = (examples.indices(split) for split in SPLITS)
    known = ScaledTargets(task, targets, lengths, task.max_tokens - 2, train)
    check_known(task, targets, known, {split: examples.indices(split) for split in SPLITS})
    room = task.max_tokens - 2
    read = examples.frame.select(pl.col(encoded_columns(task, modality)).str.len_chars())
    columns = read.cast(pl.Int64).to_numpy().T
    cropped = count_cropped(columns.ravel(), room)
    data = Data(task, examples, known, modality, train)
    fitted = {"token": _residues, "pairwise": _pairs}.get(task.kind, _sequences)
    candidates = list(_constant(data) if name == "constant" else fitted(data))
    values = [_on_valid(data, valid, predict) for _, predict in candidates]
    tuned, predict = candidates[int(np.argmax(values))]
    sample = make_sample(task, known, test, predict(test))
    extra = {"model": name, "mode": name, "cropped": cropped, "tuned": tuned}
    unread = (columns - room).clip(min=0)
    return result(task, examples, targets, {0: Run(sample)}, unread, extra)


def _on_valid(data: Data, valid: np.ndarray, predict: Predict) -> float:
    """The primary metric on valid, higher being better; -inf where it is not defined."""
    task = data.task
    sample: Sample = make_sample(task, data.known, valid, predict(valid))
    value = METRICS[task.metrics][task.primary](sample)
    signed = -value if task.primary in LOWER_IS_BETTER else value
    return signed if np.isfinite(signed) else -np.inf


def _constant(data: Data) -> Iterator[tuple[dict[str, float], Predict]]:
    """The best guess that does not look at the sequence."""
    task, known = data.task, data.known
    if task.metrics == "pairwise_structure":
        guess: Any = 0.0
    else:
        rows = [known.raw(i) for i in data.train]
        if task.kind == "pairwise":
            total, n = 0.0, 0
            for row in rows:
                real = row[row != MASKED]
                total, n = total + float(real.sum()), n + real.size
            guess = total / max(1, n)
        else:
            y = np.concatenate(rows)
            if task.target in ("class", "token"):
                guess = float(np.bincount(y[y != MASKED]).argmax())
            else:
                guess = y.mean(0)

    def predict(examples: np.ndarray) -> Iterator[np.ndarray]:
        for i in examples:
            target = known.raw(i)
            yield np.broadcast_to(np.asarray(guess, dtype=float), target.shape)

    yield {}, predict


def _sequences(data: Data) -> Iterator[tuple[dict[str, float], Predict]]:
    task, train = data.task, data.train
    columns = ["sequence", "partner"] if task.two_sequences else ["sequence"]
    read = encoded_columns(task, data.modality)  # a foreign partner is read whole, as by models
    frame = data.examples.frame.with_columns(pl.col(read).str.head(task.max_tokens - 2))
    texts = [frame[column] for column in columns]
    x = sparse.hstack([_counts(column, train) for column in texts], format="csr")
    y = np.concatenate([data.known.raw(i) for i in train])

    def predicting(model: Any) -> Predict:
        if task.target == "multilabel":
            # Of one label scikit-learn gives two columns, its absence first.
            return lambda examples: iter(
                model.predict_proba(x[examples])[:, -y.shape[1] :][:, None, :]
            )
        return lambda examples: iter(model.predict(x[examples]).astype(float)[:, None])

    if task.target == "scalar":
        for penalty in RIDGE_PENALTIES:
            yield {"penalty": penalty}, predicting(Ridge(alpha=penalty).fit(x[train], y))
        return
    for penalty in LOGISTIC_PENALTIES:
        logistic = LogisticRegression(C=1 / penalty, max_iter=1000)
        if task.target == "multilabel":
            model = OneVsRestClassifier(logistic).fit(x[train], y.astype(int))
        else:
            model = logistic.fit(x[train], y)
        yield {"penalty": penalty}, predicting(model)


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


def _residues(data: Data) -> Iterator[tuple[dict[str, float], Predict]]:
    known, train = data.known, data.train
    sequences = data.examples.frame["sequence"].to_list()
    letters = "".join(sorted(set("".join(sequences[i] for i in train))))

    def windows(example: int) -> sparse.csr_matrix:
        return _windows(sequences[example][: known.length(example)], letters)

    y = np.concatenate([known.raw(i) for i in train])
    x = sparse.vstack([windows(i) for i in train], format="csr")[y != MASKED]
    model = LogisticRegression(C=1 / LOGISTIC_PENALTIES[0], max_iter=200, warm_start=True)
    for penalty in LOGISTIC_PENALTIES:
        model.set_params(C=1 / penalty).fit(x, y[y != MASKED])
        yield {"penalty": penalty}, _by_residue(copy.deepcopy(model), windows)


def _by_residue(model: Any, windows: Callable[[int], sparse.csr_matrix]) -> Predict:
    return lambda examples: (model.predict(windows(i)) for i in examples)


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


def _pairs(data: Data) -> Iterator[tuple[dict[str, float], Predict]]:
    known = data.known
    sequences = data.examples.frame["sequence"].to_list()

    def categories(example: int) -> np.ndarray:
        return pair_categories(sequences[example][: known.length(example)], data.modality)

    size = (MAX_STEM + 1) * N_SEPARATIONS
    sums, counts = np.zeros(size), np.zeros(size)
    for i in data.train:
        target, category = known.raw(i).ravel(), categories(i).ravel()
        real = target != MASKED
        sums += np.bincount(category[real], target[real], size)
        counts += np.bincount(category[real], minlength=size)
    overall = sums.sum() / max(1.0, counts.sum())
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    if data.task.metrics != "pairwise_structure":
        yield {}, lambda examples: (means[categories(i)] for i in examples)
        return
    for threshold in THRESHOLDS:
        yield {"threshold": threshold}, _from(moved(means, threshold), categories)


def _from(values: np.ndarray, categories: Callable[[int], np.ndarray]) -> Predict:
    return lambda examples: (values[categories(i)] for i in examples)


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
