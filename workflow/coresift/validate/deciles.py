"""The decile curve: held-out loss of models pretrained on each tenth of a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from coresift.heldout.summary import read_held_out, summarise
from coresift.selection.names import DECILES, coreset_name
from coresift.tables import Schema
from coresift.validate.agreement import Intervals
from coresift.validate.ranks import between_repeats, spearman, spearman_interval
from coresift.validate.tables import CONTROL

#: Letter frequencies, as a model among the others.
UNIGRAM = "unigram"

#: One pretrained model on one held-out set.
DECILE: Schema = {
    "set": pl.String,
    "score": pl.String,
    "decile": pl.Int32,  # 0 = the lowest tenth of the score; null for the random control
    "seed": pl.Int32,
    "loss": pl.Float64,  # nats a masked place
    "unigram": pl.Float64,  # of the letters' own frequencies in the set
}


def decile_table(
    losses: Mapping[str, str | Path],
    unigram: str | Path,
    groups: str | Path,
    scores: Sequence[str],
    budget: str,
    seeds: Sequence[int],
) -> pl.DataFrame:
    """Held-out loss by set, score, decile and seed (`DECILE`).

    Args:
        losses: `HELD_OUT_LOSS` of each coreset of `Validate.deciles`.
        unigram: that of letter frequencies. budget: as names have it.
        groups: as `read_held_out` takes them.
    """
    rows = []
    for set_name, held_out in read_held_out({**losses, UNIGRAM: unigram}, groups).items():
        values = dict(zip(held_out.models, summarise(held_out)["loss"][0], strict=True))
        drawn = [
            (score, tenth, f"{name}.{score}") for score in scores for name, tenth in DECILES.items()
        ]
        for score, tenth, selection in [*drawn, (CONTROL, None, CONTROL)]:
            rows += [
                {
                    **{"set": set_name, "score": score, "decile": tenth, "seed": seed},
                    "loss": values[coreset_name(selection, budget, seed)],
                    "unigram": values[UNIGRAM],
                }
                for seed in seeds
            ]
    return pl.DataFrame(rows, schema=dict(DECILE))


def decile_order(table: pl.DataFrame, how: Intervals) -> pl.DataFrame:
    """Whether a score orders data by use: Spearman of decile and held-out loss over the models.

    Positive = what scores higher teaches less of the held-out set.

    Returns:
        Columns set, score, models, spearman, low, high (bootstrap over models), best, worst
        (decile, by mean over seeds), range (nats between them), seeds (standard deviation between
        seeds of one decile, pooled; null with one seed), random (its mean loss), unigram.
    """
    rows = []
    means = table.group_by("set", "score", maintain_order=True).agg("loss")
    random = {r["set"]: r["loss"] for r in means.filter(pl.col("score") == CONTROL).to_dicts()}
    for (set_name, score), part in table.drop_nulls("decile").group_by(
        "set", "score", maintain_order=True
    ):
        part = part.sort("decile", "seed")
        x, y = (part[c].to_numpy().astype(np.float64) for c in ("decile", "loss"))
        low, high = spearman_interval(x, y, how.n_resamples, how.confidence, how.seed)
        by_decile = y.reshape(len(DECILES), -1)
        curve = by_decile.mean(1)
        rows.append(
            {
                **{"set": set_name, "score": score, "models": len(y)},
                **{"spearman": float(spearman(x, y)), "low": low, "high": high},
                **{"best": int(curve.argmin()), "worst": int(curve.argmax())},
                "range": float(np.ptp(curve)),
                "seeds": between_repeats(by_decile.T),
                "random": float(np.mean(random[set_name])),
                "unigram": part["unigram"][0],
            }
        )
    return pl.DataFrame(rows).with_columns(pl.selectors.float().fill_nan(None))
