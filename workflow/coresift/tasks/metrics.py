"""Metrics of each kind of task: values, and values of resampled examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coresift.tasks.sample import MASKED, Sample

#: Resamples that are summed at once, which bounds memory.
_CHUNK = 64
#: Weights of rows, resamples times rows, that are held at once.
_WEIGHTS = 1 << 22
#: A variance below this share of the mean square is none.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class RankMetric:
    """A metric of the order of all rows together.

    Attributes:
        function: (rows, ...) targets, predictions and (r, rows) weights, how often each row is
            there -> (r,) values.
    """

    function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

    def __call__(self, sample: Sample) -> float:
        """Its value on a sample."""
        return float(self.resample(sample, np.ones((1, sample.n_examples)))[0])

    def resample(self, sample: Sample, counts: np.ndarray) -> np.ndarray:
        """(r,) values of the examples, each as often as a row of (r, examples) `counts` says."""
        step = max(1, _WEIGHTS // max(1, len(sample.numbers)))
        values = [
            self.function(sample.targets, sample.predictions, part[:, sample.numbers])
            for part in np.split(counts.astype(np.float64), range(step, len(counts), step))
        ]
        return np.concatenate(values)


@dataclass(frozen=True)
class SumMetric:
    """A metric that is a function of sums over examples: cheap to resample.

    Attributes:
        statistics: sample -> (examples, k) terms.
        combine: (..., k) sums of terms -> (...) values.
    """

    statistics: Callable[[Sample], np.ndarray]
    combine: Callable[[np.ndarray], np.ndarray]

    def __call__(self, sample: Sample) -> float:
        """Its value on a sample."""
        return float(self.combine(self.statistics(sample).sum(0)))

    def resample(self, sample: Sample, counts: np.ndarray) -> np.ndarray:
        """(r,) values of the examples, each as often as a row of (r, examples) `counts` says."""
        terms = self.statistics(sample)
        cuts = range(_CHUNK, len(counts), _CHUNK)
        sums = [part.astype(np.float64) @ terms for part in np.split(counts, cuts)]
        return self.combine(np.concatenate(sums))


Metric = RankMetric | SumMetric


def _ratio(sums: np.ndarray) -> np.ndarray:
    """First sum over the second; 0 where there is nothing."""
    return np.divide(
        sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] > 0
    )


def _by_example(sample: Sample, terms: np.ndarray) -> np.ndarray:
    """(examples, k) sums of a sample's (rows, k) terms."""
    sums = np.zeros((sample.n_examples, terms.shape[1]))
    np.add.at(sums, sample.numbers, terms)
    return sums


def _row_means(terms: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> SumMetric:
    """The mean over rows of `terms(targets, predictions)`."""
    return SumMetric(lambda s: _by_example(s, _mean_terms(terms(s.targets, s.predictions))), _ratio)


def _class_counts(sample: Sample) -> np.ndarray:
    """(examples, 3 C) rows predicted rightly, predicted and true, of each of C classes in turn.

    A residue that was not read has no class, which is wrong, and no class of its own.
    """
    found = np.where(np.isnan(sample.predictions), MASKED, sample.predictions)
    classes = np.setdiff1d(np.union1d(sample.targets, found), [MASKED])
    size = sample.n_examples * len(classes)

    def counts(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        rows = rows & (values != MASKED)
        places = sample.numbers[rows] * len(classes) + np.searchsorted(classes, values[rows])
        return np.bincount(places, minlength=size).reshape(sample.n_examples, -1)

    every = np.ones(len(found), dtype=bool)
    right = found == sample.targets
    parts = (counts(found, right), counts(found, every), counts(sample.targets, every))
    return np.concatenate(parts, axis=1).astype(np.float64)


def _macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that are true or predicted anywhere."""
    hit, predicted, true = np.split(counts, 3, axis=-1)
    there = predicted + true > 0
    f1 = _ratio(np.stack([2 * hit, predicted + true], -1))
    return _ratio(np.stack([f1.sum(-1), there.sum(-1)], -1))


def _mcc(counts: np.ndarray) -> np.ndarray:
    """Matthews correlation of `_class_counts`; 0 where one side is constant (Gorodkin 2004)."""
    hit, predicted, true = np.split(counts, 3, axis=-1)
    n, right = true.sum(-1), hit.sum(-1)
    covariance = right * n - (predicted * true).sum(-1)
    variances = (n * n - (predicted**2).sum(-1)) * (n * n - (true**2).sum(-1))
    return _ratio(np.stack([covariance, np.sqrt(variances)], -1))


def _label_counts(sample: Sample) -> np.ndarray:
    """(examples, 6 L) `_class_counts` of each of L labels at probability 0.5, label by label."""
    true, found = sample.targets > 0.5, sample.predictions > 0.5
    sides = [(~true & ~found, true & found), (~found, found), (~true, true)]
    terms = np.stack([np.stack(side, -1) for side in sides], axis=2)  # row, label, count, class
    return _by_example(sample, terms.reshape(len(true), -1).astype(np.float64))


def _label_mcc(counts: np.ndarray) -> np.ndarray:
    """Mean of the labels' Matthews correlations."""
    return _mcc(counts.reshape(*counts.shape[:-1], -1, 6)).mean(-1)


def _group_sums(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(r, u) sums of weights over equal values, in rising order, and (rows,) group of each row."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    return np.add.reduceat(weights[:, order], starts, axis=1), group


def _middle_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(r, rows) ranks of values that are there `weights` times; ties share their mean rank."""
    sums, group = _group_sums(values, weights)
    return (np.cumsum(sums, axis=1) - sums / 2)[:, group]


def _spearman(targets: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson correlation of ranks; 0 where one side is constant: it knows nothing."""
    n = weights.sum(1, keepdims=True)
    ranks = [_middle_ranks(side, weights) - n / 2 for side in (targets, values)]
    t, p = ranks  # their means are 0
    spread = np.sqrt((weights * t * t).sum(1) * (weights * p * p).sum(1))
    unread = weights[:, np.isnan(values)].any(1)
    covariance = np.where(unread, 0.0, (weights * t * p).sum(1))
    return _ratio(np.stack([covariance, spread], -1))


def _known_spearman(targets: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    known = targets != MASKED
    return _spearman(targets[known], values[known], weights[:, known])


def _auc(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """ROC-AUC as the share of pairs in the right order (Hanley & McNeil 1982); ties count half."""
    true, false = (_group_sums(scores, weights * (targets == side))[0] for side in (1, 0))
    won = (true * (np.cumsum(false, axis=1) - false / 2)).sum(1)
    pairs = true.sum(1) * false.sum(1)
    return np.where(pairs > 0, _ratio(np.stack([won, pairs], -1)), 0.5)


def _mean_auc(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Unweighted mean over labels of ROC-AUC; a label with one class counts 0.5 (BEACON)."""
    pairs = zip(targets.T, scores.T, strict=True)
    return np.mean([_auc(t, s, weights) for t, s in pairs], axis=0)


def _f1(counts: np.ndarray) -> np.ndarray:
    """F1 of (..., 4) counts: predictions that are true, predictions, truths found, truths.

    Nothing predicted where nothing is true is right: 1.
    """
    hit, predicted, found, true = np.moveaxis(counts, -1, 0)
    precision = _ratio(np.stack([hit, predicted], -1))
    recall = _ratio(np.stack([found, true], -1))
    f1 = _ratio(np.stack([2 * precision * recall, precision + recall], -1))
    return np.where((predicted == 0) & (true == 0), 1.0, f1)


def _pair_counts(sample: Sample, shift: int) -> np.ndarray:
    """(examples, 4) counts for `_f1`, a pair of residues being right within `shift` positions.

    (i, j) matches (i +- shift, j) and (i, j +- shift): the usual tolerance of one position for
    one partner of a base pair (Mathews 2019).
    """
    rows = []
    for example in sample.examples():
        known = example.targets != MASKED
        width = int(example.lengths[0]) + 2 * shift  # a margin, so that no shift wraps around
        i, j = np.divmod(example.positions, example.lengths)
        flat = (i + shift) * width + j + shift
        true = flat[known & (example.targets == 1)]
        predicted = flat[known & (example.predictions > 0.5)]
        steps = [0] + [s * d for s in range(1, shift + 1) for d in (1, -1, width, -width)]
        near_true = np.unique([true + step for step in steps])
        near_predicted = np.unique([predicted + step for step in steps])
        hit = np.isin(predicted, near_true).sum()
        found = np.isin(true, near_predicted).sum()
        rows.append((hit, len(predicted), found, len(true)))
    return np.array(rows, dtype=np.float64)


def _pooled_f1(shift: int) -> SumMetric:
    return SumMetric(lambda sample: _pair_counts(sample, shift), _f1)


def _mean_f1(shift: int) -> SumMetric:
    return SumMetric(lambda sample: _mean_terms(_f1(_pair_counts(sample, shift))), _ratio)


def _mean_terms(values: np.ndarray) -> np.ndarray:
    """Terms whose ratio of sums is the mean over examples."""
    return np.stack([values, np.ones(len(values))], axis=1)


def _top_counts(sample: Sample, fraction: int, threshold: float) -> np.ndarray:
    """(examples, 2): true contacts, and predictions, among the L // fraction most probable.

    Of a map whose first r residues only were read, the r // fraction most probable count; the
    others of the L // fraction are wrong, whatever the threshold.
    """
    rows = []
    for example in sample.examples():
        known = np.flatnonzero(example.targets != MASKED)
        # Entry 0 (the diagonal) is in the table for examples without any allowed pair.
        known = known[example.positions[known] > 0]
        unread = np.isnan(example.predictions[known])
        size = int(example.lengths[0])
        read = int((example.positions[known[unread]] % size).min(initial=size))
        known = known[~unread]
        order = known[np.argsort(-example.predictions[known], kind="stable")]
        top = order[: read // fraction]
        top = top[example.predictions[top] > threshold]
        wrong = size // fraction - read // fraction
        rows.append((example.targets[top].sum(), len(top) + wrong))
    return np.array(rows, dtype=np.float64)


def _beacon_top(fraction: int) -> SumMetric:
    """BEACON's: of the top L / fraction keep those with p > 0.5, pooled over the test set."""
    return SumMetric(lambda sample: _top_counts(sample, fraction, 0.5), _ratio)


def _top(fraction: int) -> SumMetric:
    """The usual: precision of the top L / fraction, mean over sequences."""
    return SumMetric(lambda s: _mean_terms(_ratio(_top_counts(s, fraction, -np.inf))), _ratio)


def _products(numbers: np.ndarray, t: np.ndarray, p: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(examples, 6) n, sums, squares and products of the rows' known targets and predictions."""
    t, p = np.where(known, t, 0.0), np.where(known, p, 0.0)
    terms = (known, t, p, t * t, p * p, t * p)
    return np.stack([np.bincount(numbers, term) for term in terms], axis=1)


def _moments(sample: Sample) -> np.ndarray:
    known = sample.targets != MASKED
    return _products(sample.numbers, sample.targets, sample.predictions, known)


def _centred_moments(sample: Sample) -> np.ndarray:
    """Moments about the sample's means: a correlation is the same, and rounding is less."""
    t, p = (values - values.mean() for values in (sample.targets, sample.predictions))
    return _products(sample.numbers, t, p, np.ones(len(t), dtype=bool))


def _squared_pearson(sums: np.ndarray) -> np.ndarray:
    """Squared correlation of `_moments`; 0 where one side is constant but for rounding."""
    n, t, p, tt, pp, tp = np.moveaxis(sums, -1, 0)
    spread_t, spread_p = n * tt - t * t, n * pp - p * p
    varies = (spread_t > _ROUNDING * n * tt) & (spread_p > _ROUNDING * n * pp)
    covariance, variances = n * tp - t * p, np.where(varies, spread_t * spread_p, 0.0)
    return _ratio(np.stack([covariance**2, variances], -1))


def _mse(sums: np.ndarray) -> np.ndarray:
    n, _, _, tt, pp, tp = np.moveaxis(sums, -1, 0)
    return _ratio(np.stack([tt - 2 * tp + pp, n], -1))


def _example_accuracy(sample: Sample) -> np.ndarray:
    right = np.bincount(sample.numbers, sample.targets == sample.predictions)
    return _mean_terms(right / np.bincount(sample.numbers))


_CLASS: dict[str, Metric] = {
    "accuracy": _row_means(lambda t, p: t == p),
    "macro_f1": SumMetric(_class_counts, _macro_f1),
    "mcc": SumMetric(_class_counts, _mcc),
}
_SCALAR: dict[str, Metric] = {
    "spearman": RankMetric(_spearman),
    "r2": SumMetric(_centred_moments, _squared_pearson),
    "mse": _row_means(lambda t, p: (t - p) ** 2),
    "mae": _row_means(lambda t, p: np.abs(t - p)),
    "rmse": SumMetric(_row_means(lambda t, p: (t - p) ** 2).statistics, lambda s: _ratio(s) ** 0.5),
}
#: Metrics by set, names as in `settings.METRIC_NAMES`.
METRICS: dict[str, dict[str, Metric]] = {
    "class": _CLASS,
    "scalar": _SCALAR,
    "multilabel": {
        "mean_auc": RankMetric(_mean_auc),
        "mean_mcc": SumMetric(_label_counts, _label_mcc),
    },
    "token": {
        "micro_accuracy": _CLASS["accuracy"],
        # PEER's accuracy of secondary structure: mean over proteins.
        "macro_accuracy": SumMetric(_example_accuracy, _ratio),
        "macro_f1": _CLASS["macro_f1"],
    },
    "pairwise_structure": {
        "pooled_f1": _pooled_f1(0),  # BEACON's
        "pooled_f1_shift1": _pooled_f1(1),
        "mean_f1": _mean_f1(0),
        "mean_f1_shift1": _mean_f1(1),
    },
    "pairwise_contact": {
        **{f"beacon_top_l{name}": _beacon_top(k) for name, k in (("", 1), ("2", 2), ("5", 5))},
        **{f"top_l{name}": _top(k) for name, k in (("", 1), ("2", 2), ("5", 5), ("10", 10))},
    },
    "pairwise_distance": {
        "r2": SumMetric(_moments, _squared_pearson),  # BEACON's
        "spearman": RankMetric(_known_spearman),
        "mse": SumMetric(_moments, _mse),
    },
}
