"""Metrics against scikit-learn, scipy and brute force; bootstrap intervals."""

import numpy as np
import pytest
from coresift.tasks.metrics import METRICS
from coresift.tasks.sample import Sample, from_table, make_sample, to_table
from coresift.tasks.settings import METRIC_NAMES, Task
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk
from sklearn.metrics import f1_score

RNG = np.random.default_rng(0)
DATA = {"path": "x.csv"}


def rows(targets, predictions, groups=None):
    groups = np.arange(len(targets)) if groups is None else groups
    zeros = np.zeros(len(targets), dtype=int)
    return Sample(targets, predictions, groups, zeros, zeros + 1)


class Known:
    """Targets and lengths by example number, for `make_sample`."""

    def __init__(self, examples):
        self.truth = [target for target, _, _ in examples].__getitem__
        self.counted = [length for _, _, length in examples].__getitem__

    def complete(self, _, prediction):
        return prediction


def gathered(task, examples):
    outputs = [output for _, output, _ in examples]
    return make_sample(task, Known(examples), np.arange(len(examples)), outputs)


def pairwise(target, **options):
    return Task(kind="pairwise", data=DATA, pairwise={"target": target, **options})


def maps(n=4, low=5, high=12, density=0.15):
    for _ in range(n):
        size = int(RNG.integers(low, high))
        upper = np.triu(RNG.random((size, size)) < density, 1)
        yield (upper | upper.T).astype(np.float32), RNG.random((size, size)), size


def test_names_are_those_of_the_config():
    assert {name: tuple(metrics) for name, metrics in METRICS.items()} == METRIC_NAMES


def test_class_metrics_by_hand():
    sample = rows(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    assert METRICS["class"]["accuracy"](sample) == 0.75
    assert METRICS["class"]["macro_f1"](sample) == pytest.approx((2 / 3 + 0.8) / 2)
    assert METRICS["class"]["mcc"](sample) == pytest.approx(1 / np.sqrt(3))


def test_multilabel_agrees_with_scikit_learn():
    labels, scores = RNG.integers(0, 2, (50, 3)), RNG.random((50, 3))
    found = METRICS["multilabel"]
    assert found["mean_auc"](rows(labels, scores)) == pytest.approx(
        sk.roc_auc_score(labels, scores, average="macro")
    )
    one_class = np.array([[0, 1], [1, 1], [1, 1]])
    scores = np.array([[0.1, 0.5], [0.4, 0.5], [0.05, 0.2]])
    assert found["mean_auc"](rows(one_class, scores)) == 0.5  # (0.5 + one-class 0.5) / 2


def test_scalar_metrics_agree_with_scipy_and_scikit_learn():
    x, y = RNG.normal(size=40), RNG.normal(size=40)
    found = {name: metric(rows(x, y)) for name, metric in METRICS["scalar"].items()}
    expected = {
        "spearman": stats.spearmanr(x, y)[0],
        "r2": np.corrcoef(x, y)[0, 1] ** 2,
        "mse": sk.mean_squared_error(x, y),
        "mae": sk.mean_absolute_error(x, y),
        "rmse": sk.root_mean_squared_error(x, y),
    }
    assert found == pytest.approx(expected)
    assert METRICS["scalar"]["spearman"](rows(x, np.ones(40))) == 0


def test_token_accuracies_weigh_residues_or_proteins():
    targets, groups = np.array([0, 1, 1, 1, 2, 0]), np.array([0, 0, 0, 0, 1, 1])
    sample = rows(targets, np.array([0, 1, 1, 1, 0, 0]), groups)
    assert METRICS["token"]["micro_accuracy"](sample) == pytest.approx(5 / 6)
    assert METRICS["token"]["macro_accuracy"](sample) == pytest.approx((1 + 0.5) / 2)


def test_structure_f1_is_that_of_all_pixels():
    examples = list(maps())
    sample = gathered(pairwise("structure"), examples)
    pixels = np.concatenate([t.ravel() for t, _, _ in examples])
    called = np.concatenate([p.ravel() > 0.5 for _, p, _ in examples])
    found = METRICS["pairwise_structure"]
    assert len(sample.targets) < len(pixels)  # only what is needed is kept
    assert found["pooled_f1"](sample) == pytest.approx(f1_score(pixels, called))
    singles = [f1_score(t.ravel(), p.ravel() > 0.5) for t, p, _ in examples]
    assert found["mean_f1"](sample) == pytest.approx(np.mean(singles))


def near(matrix):
    """Entries one step along a row or a column away, or on the entry: by brute force."""
    out = matrix.copy()
    for i, j in np.argwhere(matrix):
        for a, b in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            if 0 <= a < len(matrix) and 0 <= b < len(matrix):
                out[a, b] = True
    return out


def test_shifted_f1_against_brute_force():
    examples = list(maps(6, density=0.05))
    examples = [(t, np.where(p > 0.9, p, 0.1), n) for t, p, n in examples]
    counts = np.zeros((6, 4))
    for k, (target, output, _) in enumerate(examples):
        true, called = target == 1, output > 0.5
        counts[k] = [
            (called & near(true)).sum(),
            called.sum(),
            (true & near(called)).sum(),
            true.sum(),
        ]
    hit, predicted, found, true = counts.sum(0)
    precision, recall = hit / predicted, found / true
    sample = gathered(pairwise("structure"), examples)
    assert METRICS["pairwise_structure"]["pooled_f1_shift1"](sample) == pytest.approx(
        2 * precision * recall / (precision + recall)
    )


def test_one_position_off_counts_only_with_the_shift():
    target, output = np.zeros((8, 8)), np.zeros((8, 8))
    target[1, 6] = target[6, 1] = 1
    output[1, 7] = output[7, 1] = 0.9
    sample = gathered(pairwise("structure"), [(target, output, 8)])
    found = {name: metric(sample) for name, metric in METRICS["pairwise_structure"].items()}
    assert found == {"pooled_f1": 0, "mean_f1": 0, "pooled_f1_shift1": 1, "mean_f1_shift1": 1}


def test_an_example_without_pairs_counts():
    empty = (np.zeros((5, 5)), np.zeros((5, 5)), 5)
    wrong = (np.eye(5)[::-1], np.zeros((5, 5)), 5)
    sample = gathered(pairwise("structure"), [empty, wrong])
    assert METRICS["pairwise_structure"]["mean_f1"](sample) == 0.5


def literal_beacon(examples, separation, fraction):
    """Top-L precision as BEACON's text describes it: top L, then p > 0.5, pooled."""
    true = total = 0
    for target, output, size in examples:
        cells = [
            (output[i, j], target[i, j]) for i in range(size) for j in range(i + separation, size)
        ]
        top = sorted(cells, key=lambda cell: -cell[0])[: size // fraction]
        kept = [t for p, t in top if p > 0.5]
        true, total = true + sum(kept), total + len(kept)
    return true / total


def test_contact_precision_plain_and_beacon():
    examples = list(maps(5, 10, 16))
    sample = gathered(pairwise("contact", min_separation=3), examples)
    found = METRICS["pairwise_contact"]
    assert len(sample.targets) <= sum(n + 1 for _, _, n in examples)
    for name, fraction in (("", 1), ("2", 2), ("5", 5)):
        assert found[f"beacon_top_l{name}"](sample) == pytest.approx(
            literal_beacon(examples, 3, fraction)
        )
    singles = []
    for target, output, size in examples:
        i, j = np.triu_indices(size, 3)
        top = np.argsort(-output[i, j])[:size]
        singles.append(target[i, j][top].mean())
    assert found["top_l"](sample) == pytest.approx(np.mean(singles))


def test_distance_metrics_over_known_entries():
    examples = []
    for _, noise, size in maps():
        target = RNG.random((size, size)) * 30
        target[RNG.random((size, size)) < 0.2] = -1
        examples.append((target, target * 0.8 + 10 * noise, size))
    sample = gathered(pairwise("distance"), examples)
    t = np.concatenate([t[t != -1] for t, _, _ in examples])
    p = np.concatenate([p[t != -1] for t, p, _ in examples])
    found = {name: metric(sample) for name, metric in METRICS["pairwise_distance"].items()}
    assert found == pytest.approx(
        {
            "r2": np.corrcoef(t, p)[0, 1] ** 2,
            "spearman": stats.spearmanr(t, p)[0],
            "mse": sk.mean_squared_error(t, p),
        }
    )


@pytest.mark.parametrize("target", ["structure", "contact", "distance"])
def test_predictions_table_keeps_what_metrics_read(target):
    import polars as pl

    task = pairwise(target, min_separation=2)
    sample = gathered(task, list(maps()))
    examples = pl.DataFrame({"example_id": [f"x:{i}" for i in range(4)], "distinct": [0, 1, 0, 2]})
    table = to_table(sample, examples, seed=3)
    (again,) = from_table(table, task.metrics)
    assert again.distinct_numbers.tolist() == [0, 1, 0, 2]
    assert (again.n_examples, again.n_distinct) == (4, 3)
    for metric in METRICS[task.metrics].values():
        assert metric(again) == metric(sample)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from(["pooled_f1", "mean_f1", "pooled_f1_shift1"]))
def test_bootstrap_of_sums_is_that_of_rows(seed, name):
    """Resampling the terms of a metric equals resampling whole examples."""
    examples = list(maps(3))
    task, metric = pairwise("structure"), METRICS["pairwise_structure"][name]
    drawn = np.random.default_rng(seed).integers(3, size=3)
    (value,) = metric.resample(gathered(task, examples), np.bincount(drawn, minlength=3)[None])
    assert value == pytest.approx(metric(gathered(task, [examples[i] for i in drawn])))


def mean_label_mcc(targets, scores):
    pairs = zip(targets.T, scores.T > 0.5, strict=True)
    return np.mean([sk.matthews_corrcoef(t, p) for t, p in pairs])


def mean_auc(targets, scores):
    pairs = zip(targets.T, scores.T, strict=True)
    return np.mean([sk.roc_auc_score(t, s) if np.ptp(t) else 0.5 for t, s in pairs])


def known_f1(targets, classes):
    found = np.where(np.isnan(classes), -1, classes)
    labels = np.setdiff1d(np.union1d(targets, found), [-1])
    return f1_score(targets, found, labels=labels, average="macro", zero_division=0)


def squared_correlation(targets, values):
    constant = np.ptp(targets) == 0 or np.ptp(values) == 0
    return 0.0 if constant else stats.pearsonr(targets, values)[0] ** 2


#: Metrics by the library's function of rows.
BY_ROWS = {
    ("class", "accuracy"): sk.accuracy_score,
    ("class", "macro_f1"): known_f1,
    ("class", "mcc"): sk.matthews_corrcoef,
    ("token", "macro_f1"): known_f1,
    ("multilabel", "mean_mcc"): mean_label_mcc,
    ("scalar", "r2"): squared_correlation,
    ("scalar", "mse"): sk.mean_squared_error,
    ("scalar", "mae"): sk.mean_absolute_error,
    ("scalar", "rmse"): sk.root_mean_squared_error,
    ("multilabel", "mean_auc"): mean_auc,
    ("scalar", "spearman"): lambda t, p: np.nan_to_num(stats.spearmanr(t, p)[0]),
}


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=120)
@given(st.integers(0, 10**6), st.sampled_from(sorted(BY_ROWS)))
def test_resamples_are_those_of_rows_drawn_one_by_one(seed, names):
    kind, name = names
    rng = np.random.default_rng(seed)
    n, width = int(rng.integers(2, 9)), int(rng.integers(1, 5))
    groups = np.sort(rng.integers(n, size=3 * n)) * 2
    size = len(groups)
    if kind in ("class", "token"):
        targets, found = rng.integers(0, 3, (2, size)).astype(float)
        if kind == "token":
            found[rng.random(size) < 0.2] = np.nan
    elif kind == "multilabel":
        targets = rng.integers(0, 2, (size, width)).astype(float)
        found = rng.integers(0, 7, (size, width)) / 6
    else:
        targets, found = rng.integers(-2, 3, size) + 1000.0, rng.integers(-1, 2, size) / 3
    sample, metric = rows(targets, found, groups), METRICS[kind][name]
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    drawn = rng.integers(len(members), size=(3, len(members)))
    counts = np.array([np.bincount(d, minlength=len(members)) for d in drawn])
    places = [np.concatenate([members[i] for i in d]) for d in drawn]
    expected = [BY_ROWS[names](targets[at], found[at]) for at in places]
    np.testing.assert_allclose(metric.resample(sample, counts), expected, atol=1e-9)
    assert metric(sample) == pytest.approx(BY_ROWS[names](targets, found), abs=1e-9)
