"""Metrics of each kind of task: values, and values of resampled examples."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn import metrics as sk

from coresift.tasks.sample import MASKED, Sample


@dataclass(frozen=True)
class RowMetric:
    """A metric of all rows together: `function(targets, predictions)`."""

    function: Callable[[np.ndarray, np.ndarray], float]

    def __call__(self, sample: Sample) -> float:
        """Its value on a sample."""
        return self.function(sample.targets, sample.predictions)

    def resample(self, sample: Sample, draws: Iterable[np.ndarray]) -> np.ndarray:
        """(n,) values, one for each of n drawn sets of example numbers."""
        _, first = np.unique(sample.numbers, return_index=True)
        members = np.split(np.arange(len(sample.numbers)), first[1:])
        single = len(members) == len(sample.numbers)
        values = []
        for drawn in draws:
            rows = drawn if single else np.concatenate([members[i] for i in drawn])
            values.append(self.function(sample.targets[rows], sample.predictions[rows]))
        return np.array(values)


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

    def resample(self, sample: Sample, draws: Iterable[np.ndarray]) -> np.ndarray:
        """(n,) values, one for each of n drawn sets of example numbers."""
        terms = self.statistics(sample)
        return np.array([float(self.combine(terms[drawn].sum(0))) for drawn in draws])


Metric = RowMetric | SumMetric


def _mean_auc(targets: np.ndarray, scores: np.ndarray) -> float:
    """Unweighted mean over labels of ROC-AUC; a label with one class counts 0.5 (BEACON)."""
    values = [
        sk.roc_auc_score(t, s) if 0 < t.sum() < len(t) else 0.5
        for t, s in zip(targets.T, scores.T, strict=True)
    ]
    return float(np.mean(values))


def _label_mcc(targets: np.ndarray, scores: np.ndarray) -> float:
    """Mean over labels of the Matthews correlation at probability 0.5."""
    pairs = zip(targets.T, scores.T > 0.5, strict=True)
    return float(np.mean([sk.matthews_corrcoef(t, p) for t, p in pairs]))


def _correlation(targets: np.ndarray, values: np.ndarray, rank: bool) -> float:
    function = stats.spearmanr if rank else stats.pearsonr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = float(function(targets, values)[0])
    return result if np.isfinite(result) else 0.0  # constant predictions know nothing


def _accuracy(targets: np.ndarray, classes: np.ndarray) -> float:
    return float((targets == classes).mean())


def _macro_f1(targets: np.ndarray, classes: np.ndarray) -> float:
    # A residue that was not read has no class, which is wrong, and no class of its own.
    found = np.where(np.isnan(classes), MASKED, classes)
    labels = np.setdiff1d(np.union1d(targets, found), [MASKED])
    return float(sk.f1_score(targets, found, labels=labels, average="macro", zero_division=0))


def _ratio(sums: np.ndarray) -> np.ndarray:
    """First sum over the second; 0 where there is nothing."""
    return np.divide(
        sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] > 0
    )


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


def _moments(sample: Sample) -> np.ndarray:
    """(examples, 6) n, sums, squares and products of the known targets and predictions."""
    known = sample.targets != MASKED
    t, p = np.where(known, sample.targets, 0.0), np.where(known, sample.predictions, 0.0)
    terms = (known, t, p, t * t, p * p, t * p)
    size = sample.n_examples
    return np.stack([np.bincount(sample.numbers, term, size) for term in terms], axis=1)


def _squared_pearson(sums: np.ndarray) -> np.ndarray:
    n, t, p, tt, pp, tp = np.moveaxis(sums, -1, 0)
    covariance, variances = n * tp - t * p, (n * tt - t * t) * (n * pp - p * p)
    return _ratio(np.stack([covariance**2, variances], -1))


def _mse(sums: np.ndarray) -> np.ndarray:
    n, _, _, tt, pp, tp = np.moveaxis(sums, -1, 0)
    return _ratio(np.stack([tt - 2 * tp + pp, n], -1))


def _example_accuracy(sample: Sample) -> np.ndarray:
    right = np.bincount(sample.numbers, sample.targets == sample.predictions)
    return _mean_terms(right / np.bincount(sample.numbers))


_CLASS: dict[str, Metric] = {
    "accuracy": RowMetric(_accuracy),
    "macro_f1": RowMetric(_macro_f1),
    "mcc": RowMetric(lambda t, p: float(sk.matthews_corrcoef(t, p))),
}
_SCALAR: dict[str, Metric] = {
    "spearman": RowMetric(lambda t, p: _correlation(t, p, rank=True)),
    "r2": RowMetric(lambda t, p: _correlation(t, p, rank=False) ** 2),
    "mse": RowMetric(lambda t, p: float(np.mean((t - p) ** 2))),
    "mae": RowMetric(lambda t, p: float(np.mean(np.abs(t - p)))),
    "rmse": RowMetric(lambda t, p: float(np.sqrt(np.mean((t - p) ** 2)))),
}
#: Metrics by set, names as in `settings.METRIC_NAMES`.
METRICS: dict[str, dict[str, Metric]] = {
    "class": _CLASS,
    "scalar": _SCALAR,
    "multilabel": {"mean_auc": RowMetric(_mean_auc), "mean_mcc": RowMetric(_label_mcc)},
    "token": {
        "micro_accuracy": RowMetric(_accuracy),
        # PEER's accuracy of secondary structure: mean over proteins.
        "macro_accuracy": SumMetric(_example_accuracy, _ratio),
        "macro_f1": RowMetric(_macro_f1),
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
        "spearman": RowMetric(lambda t, p: _correlation(*_drop(t, p), rank=True)),
        "mse": SumMetric(_moments, _mse),
    },
}


def _drop(targets: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = targets != MASKED
    return targets[known], values[known]
