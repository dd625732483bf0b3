"""Predictions against retrainings: the linear datamodelling score and leave-one-out.

Signs. I(z; V) = g_V^T C g_z > 0 says that a step on z lowers the loss of V. So a subset with a
higher sum should end with a lower loss, and V's loss should rise where z is left out: what is
correlated is the prediction with minus the real loss of subsets, and with the real loss without z
minus that with it. Positive = the gradients are right, of both. Of a self-influence, of the
losses and of lengths, which promise nothing, the signs are the same: negative = a subset with
more of it ends with a higher loss.

Weights. Training spends residues, not sequences: at a fixed number of residues a sequence is met
in proportion to its length. `sequences` counts each alike, the plain sum; `residues` weighs it by
the tokens n_z its loss is over, the first-order effect of what training did: of a subset
sum n_z I(z; V) / sum n_z, of one sequence left out n_z I(z; V).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from coresift.tables import Schema
from coresift.validate.ranks import (
    best_by_chance,
    between_repeats,
    mean_reliability,
    reliability,
    spearman,
    spearman_interval,
)
from coresift.validate.small import subsets_of
from coresift.validate.tables import WAY

#: How far one prediction and the retrainings agree.
AGREEMENT: Schema = {
    **WAY,
    "score": pl.String,  # target | self; controls without a way: loss | length
    "weights": pl.String,  # sequences | residues
    "of": pl.String,  # what is predicted: V, or own = the sequence that is left out
    "n": pl.Int64,  # subsets, or sequences left out
    "spearman": pl.Float64,
    "low": pl.Float64,  # bootstrap interval over subsets or sequences
    "high": pl.Float64,
    "reliability": pl.Float64,  # Spearman between two retraining seeds; null with one seed
    "ceiling": pl.Float64,  # sqrt of the reliability of the seeds' mean: a perfect prediction's
    "best_by_chance": pl.Float64,  # what the best of the ways that promise to foresee it reaches
}


#: The score that foresees what is predicted: of others no sign is promised.
PROMISED = {"V": "target", "own": "self"}


@dataclass(frozen=True)
class Intervals:
    """How intervals are made: bootstrap samples, confidence, seed."""

    n_resamples: int
    confidence: float
    seed: int


def losses_by_run(retrained: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss over the sequences of a table (`RETRAINED`) of each run by each seed.

    Every sequence counts alike, as in the gradient g_V.

    Returns:
        (runs,) numbers, ascending, and (seeds, runs) nats.

    Raises:
        ValueError: a run is missing for some seed.
    """
    rows = retrained.sort("seed", "run", maintain_order=True)
    runs, seeds = (rows[name].unique().sort().to_numpy() for name in ("run", "seed"))
    sizes = rows.group_by("seed", "run").len()["len"]
    if len(sizes) != len(seeds) * len(runs) or sizes.n_unique() != 1:
        raise ValueError(f"{len(seeds)} seeds of {len(runs)} runs, but {len(sizes)} retrainings")
    # numpy adds in one order: equal bytes, whatever the threads.
    return runs, rows["loss"].to_numpy().reshape(len(seeds), len(runs), -1).mean(-1)


def datamodel_table(
    retrained: pl.DataFrame, subsets: np.ndarray, predicted: pl.DataFrame, how: Intervals
) -> pl.DataFrame:
    """Linear datamodelling score of the mean loss of V (after arXiv 2303.14186, definition 2.3).

    Spearman's correlation over random subsets S of the small pool between the sum of the
    predictions over S and the real loss of V of the model trained on S, averaged over seeds.

    Args:
        retrained: `RETRAINED` of V.
        subsets: (m, n) bool, by run, over the small pool in seq_id order.
        predicted: `PREDICTED`, of each way all n sequences in seq_id order.

    Returns:
        Columns of `AGREEMENT`.
    """
    _, losses = losses_by_run(retrained)
    members = subsets.astype(np.float64)

    def total(values: np.ndarray, tokens: np.ndarray, weights: str) -> np.ndarray:
        if weights == "sequences":
            return members @ values
        return members @ (values * tokens) / (members @ tokens)

    return _table(predicted, {"V": -losses}, total, how)


def leave_one_out_table(
    changes: dict[str, np.ndarray], predicted: pl.DataFrame, how: Intervals
) -> pl.DataFrame:
    """Spearman's correlation of predictions and real changes of the loss, over sequences.

    Args:
        changes: (seeds, n) by what changes, `V` or `own`, see `leave_one_out_changes`.
        predicted: `PREDICTED`, of each way all n sequences in seq_id order.

    Returns:
        Columns of `AGREEMENT`.
    """

    def one(values: np.ndarray, tokens: np.ndarray, weights: str) -> np.ndarray:
        return values if weights == "sequences" else values * tokens

    return _table(predicted, changes, one, how)


def leave_one_out_changes(retrained: pl.DataFrame, seq_ids: list[str]) -> dict[str, np.ndarray]:
    """Loss without each sequence minus loss with all of them, by each seed: (seeds, n) nats.

    Args:
        retrained: `RETRAINED` of V and of the tiny pool; run i leaves out `seq_ids[i]`, -1 nothing.

    Returns:
        V: of the held-out set's mean loss. own: of the loss of the sequence that is left out.
    """
    runs, losses = losses_by_run(retrained.filter(pl.col("set") == "V"))
    if runs.tolist() != list(range(-1, len(seq_ids))):
        raise ValueError(f"runs {runs.tolist()}, expected -1 to {len(seq_ids) - 1}")
    left_out = pl.DataFrame({"seq_id": seq_ids}).with_row_index("run").cast({"run": pl.Int32})
    of_pool = retrained.filter(pl.col("set") == "own")
    own = of_pool.join(left_out, on=["run", "seq_id"]).sort("seed", "run")
    whole = of_pool.filter(pl.col("run") == -1).join(
        left_out.rename({"run": "row"}), on="seq_id"
    ).sort("seed", "row")  # fmt: skip
    own_change = own["loss"].to_numpy() - whole["loss"].to_numpy()
    return {"V": losses[:, 1:] - losses[:, :1], "own": own_change.reshape(len(losses), -1)}


def _table(
    predicted: pl.DataFrame,
    real: dict[str, np.ndarray],
    combine: Callable[[np.ndarray, np.ndarray, str], np.ndarray],
    how: Intervals,
) -> pl.DataFrame:
    """A row for each way, score, weights and real quantity, (seeds, m) each."""
    noise = {name: _noise(values) for name, values in real.items()}
    rows, promised = [], dict[str, list[np.ndarray]]()
    for way, score, weights, values, tokens in _predictions(predicted):
        x = combine(values, tokens, weights)
        for name, by_seed in real.items():
            y = by_seed.mean(0)
            if score == PROMISED[name]:
                promised.setdefault(name, []).append(x)
            low, high = spearman_interval(x, y, how.n_resamples, how.confidence, how.seed)
            found = {"score": score, "weights": weights, "of": name, "n": len(y)}
            agreement = {"spearman": float(spearman(x, y)), "low": low, "high": high}
            rows.append({**way, **found, **agreement, **noise[name]})
    chance = {
        name: best_by_chance(np.stack(ways), how.n_resamples, how.confidence, how.seed)
        for name, ways in promised.items()
    }
    rows = [{**row, "best_by_chance": chance[row["of"]]} for row in rows]
    table = pl.DataFrame(rows, schema=dict(AGREEMENT))
    return table.with_columns(pl.selectors.float().fill_nan(None))


def _predictions(
    predicted: pl.DataFrame,
) -> Iterator[tuple[dict[str, Any], str, str, np.ndarray, np.ndarray]]:
    """Way, score, weights, values and tokens (n,) of each prediction; controls have no way."""
    for keys, part in predicted.group_by(*WAY, maintain_order=True):
        way = dict(zip(WAY, keys, strict=True))
        tokens = part["n_tokens"].to_numpy().astype(np.float64)
        for score in ("target", "self"):
            for weights in ("sequences", "residues"):
                yield way, score, weights, part[score].to_numpy(), tokens
    for (model, loss), part in predicted.group_by("model", "loss", maintain_order=True):
        rows = part.unique("seq_id", keep="first", maintain_order=True)
        tokens = rows["n_tokens"].to_numpy().astype(np.float64)
        way = {"model": model, "loss": loss}
        yield way, "loss", "sequences", rows["own_loss"].to_numpy(), tokens
        yield way, "length", "sequences", tokens, tokens


def _noise(repeats: np.ndarray) -> dict[str, float]:
    single = reliability(repeats)
    whole = mean_reliability(single, len(repeats))
    return {"reliability": single, "ceiling": max(0.0, whole) ** 0.5 if whole == whole else whole}


def noise_of(
    changes: Mapping[str, np.ndarray], letters: Mapping[str, float | None]
) -> pl.DataFrame:
    """How noisy retraining is: spread between runs and between seeds, nats.

    Args:
        changes: (seeds, runs) losses or changes of a loss by what they are of.
        letters: what letter frequencies lose on the same sequences, where losses are compared.

    Returns:
        Columns of, seeds, mean, letters (null of a change), between_runs (standard deviation of
        the seeds' means), between_seeds (of one run's repeats, pooled; null with one seed),
        reliability.
    """
    rows = [
        {
            "of": name,
            "seeds": len(values),
            "mean": float(values.mean()),
            "letters": letters.get(name),
            "between_runs": float(values.mean(0).std(ddof=1)),
            "between_seeds": between_repeats(values),
            "reliability": reliability(values),
        }
        for name, values in changes.items()
    ]
    table = pl.DataFrame(rows, schema_overrides={"letters": pl.Float64})
    return table.with_columns(pl.selectors.float().fill_nan(None))


def agreement_tables(
    check: str,
    seq_ids: list[str],
    retrained: pl.DataFrame,
    predicted: pl.DataFrame,
    options: Mapping[str, Any],
    seed: int,
    how: Intervals,
    letters: float | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Table (`AGREEMENT`) and noise (`noise_of`) of a check.

    Args:
        check: lds | loo.
        seq_ids: of the small pool, in order.
        options: values of the check's section. seed: of the subsets.
        letters: mean loss of letter frequencies over the sequences of V, nats.
    """
    if check == "lds":
        subsets = subsets_of(len(seq_ids), options, seed)
        table = datamodel_table(retrained, subsets, predicted, how)
        return table, noise_of({"V": losses_by_run(retrained)[1]}, {"V": letters})
    changes = leave_one_out_changes(retrained, seq_ids)
    return leave_one_out_table(changes, predicted, how), noise_of(changes, {})
