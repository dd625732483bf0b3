"""Metrics of each kind of task."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats
from sklearn import metrics as sk

Metric = Callable[[np.ndarray, np.ndarray], float]


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


def _correlation(function: Callable[..., tuple[float, float]]) -> Metric:
    def metric(targets: np.ndarray, values: np.ndarray) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = float(function(targets, values)[0])
        return result if np.isfinite(result) else 0.0  # constant predictions know nothing

    return metric


def _accuracy(targets: np.ndarray, classes: np.ndarray) -> float:
    return float((targets == classes).mean())


def _macro_f1(targets: np.ndarray, classes: np.ndarray) -> float:
    return float(sk.f1_score(targets, classes, average="macro", zero_division=0))


_pearson = _correlation(stats.pearsonr)
_CLASS: dict[str, Metric] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "mcc": lambda t, p: float(sk.matthews_corrcoef(t, p)),
}
#: Metrics by kind of task; the first is the primary one. Targets and predictions are (n,) class
#: ids or values; (n, labels) for multilabel.
METRICS: dict[str, dict[str, Metric]] = {
    "class": _CLASS,
    "pair": _CLASS,
    "token": {"micro_accuracy": _accuracy, "macro_f1": _macro_f1},
    "multilabel": {"mean_auc": _mean_auc, "mean_mcc": _label_mcc},
    "scalar": {
        "spearman": _correlation(stats.spearmanr),
        "r2": lambda t, p: _pearson(t, p) ** 2,
        "mse": lambda t, p: float(np.mean((t - p) ** 2)),
        "mae": lambda t, p: float(np.mean(np.abs(t - p))),
        "rmse": lambda t, p: float(np.sqrt(np.mean((t - p) ** 2))),
    },
}
LOWER_IS_BETTER = frozenset({"mse", "mae", "rmse"})


def primary(kind: str) -> str:
    """Name of the primary metric of a kind of task."""
    return next(iter(METRICS[kind]))
