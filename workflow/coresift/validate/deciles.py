"""The decile curve: held-out loss of models pretrained on each tenth of a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import f_oneway

from coresift.heldout.summary import read_held_out, summarise
from coresift.report.difference import holm
from coresift.selection.names import DECILES, coreset_name
from coresift.tables import Schema, scan_rows
from coresift.validate.agreement import Intervals
from coresift.validate.ranks import between_repeats, spearman, spearman_interval
from coresift.validate.tables import CONTROL

#: Letter frequencies, as a model among the others.
UNIGRAM = "unigram"
#: The grouping by file of the corpus, which every pool has.
SOURCE = "source"
#: Head of the columns of `decile_traits` that have a source each.
RESIDUES_OF = "residues_of_"

#: The primary outcome, and the second: the unweighted mean over the files of the corpus.
OUTCOMES = {"loss": "as the set", "macro_source": "mean over sources"}

#: One pretrained model on one held-out set.
DECILE: Schema = {
    "set": pl.String,
    "outcome": pl.String,  # of `OUTCOMES`
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
    """Held-out loss by set, outcome, score, decile and seed (`DECILE`).

    The mean over sources is there for a set of several.

    Args:
        losses: `HELD_OUT_LOSS` of each coreset of `Validate.deciles`.
        unigram: that of letter frequencies. budget: as names have it.
        groups: as `read_held_out` takes them.
    """
    rows = []
    for set_name, held_out in read_held_out({**losses, UNIGRAM: unigram}, groups).items():
        figures = summarise(held_out)
        several = SOURCE in held_out.groups and held_out.groups[SOURCE].max() > 0
        for outcome in OUTCOMES if several else [*OUTCOMES][:1]:
            values = dict(zip(held_out.models, figures[outcome][0], strict=True))
            for score, tenth, selection in _selections(scores):
                rows += [
                    {
                        **{"set": set_name, "outcome": outcome, "score": score},
                        **{"decile": tenth, "seed": seed},
                        "loss": values[coreset_name(selection, budget, seed)],
                        "unigram": values[UNIGRAM],
                    }
                    for seed in seeds
                ]
    return pl.DataFrame(rows, schema=dict(DECILE))


def _selections(scores: Sequence[str]) -> list[tuple[str, int | None, str]]:
    """Score, tenth and selection of each tenth of every score, then of the random control."""
    drawn = [(score, k, f"{name}.{score}") for score in scores for name, k in DECILES.items()]
    return [*drawn, (CONTROL, None, CONTROL)]


def decile_order(table: pl.DataFrame, how: Intervals) -> pl.DataFrame:
    """Whether a score orders data by use: Spearman of decile and mean held-out loss.

    Positive = what scores higher teaches less of the held-out set, for whatever reason. Seeds of
    one tenth are no evidence of an order of tenths, so the interval is a bootstrap over the tenths.

    Returns:
        Columns set, outcome, score, models, spearman, low, high, best, worst (decile, by mean over
        seeds), range (nats between them), seeds (standard deviation between seeds of one decile,
        pooled) and p (that the tenths are alike: one-way analysis of variance), null with one seed;
        random, random_models, random_seeds (the control's mean loss, number and standard
        deviation), below_random (tenths whose mean is below the control's), unigram, p_adjusted
        (Holm, over the scores of a set and outcome), alike (that is above the level).
    """
    rows = []
    control = table.filter(pl.col("score") == CONTROL)
    random = {
        key: {
            "random": part["loss"].mean(),
            "random_models": part.height,
            "random_seeds": part["loss"].std(),
        }
        for key, part in control.group_by("set", "outcome", maintain_order=True)
    }
    for (set_name, outcome, score), part in table.drop_nulls("decile").group_by(
        "set", "outcome", "score", maintain_order=True
    ):
        part = part.sort("decile", "seed")
        by_decile = part["loss"].to_numpy().reshape(len(DECILES), -1)
        x, curve = np.arange(len(DECILES), dtype=np.float64), by_decile.mean(1)
        low, high = spearman_interval(x, curve, how.n_resamples, how.confidence, how.seed)
        by_chance = random[set_name, outcome]
        below = int((curve < by_chance["random"]).sum())
        p = float(f_oneway(*by_decile).pvalue) if by_decile.shape[1] > 1 else None
        rows.append(
            {
                **{"set": set_name, "outcome": outcome, "score": score, "models": part.height},
                **{"spearman": float(spearman(x, curve)), "low": low, "high": high},
                **{"best": int(curve.argmin()), "worst": int(curve.argmax())},
                "range": float(np.ptp(curve)),
                "seeds": between_repeats(by_decile.T),
                "p": p,
                **by_chance,
                "below_random": below,
                "unigram": part["unigram"][0],
            }
        )
    found = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.selectors.float().fill_nan(None)
    )
    adjusted = pl.col("p").map_batches(_holm, pl.Float64).over("set", "outcome")
    return found.with_columns(p_adjusted=adjusted).with_columns(
        alike=pl.col("p_adjusted") > 1 - how.confidence
    )


def _holm(p: pl.Series) -> pl.Series:
    """Adjusted p-values; null where there is none."""
    known = p.drop_nulls().to_numpy()
    found = iter(holm(known))
    return pl.Series([None if v is None else float(next(found)) for v in p], dtype=pl.Float64)


def decile_traits(
    coresets: Mapping[str, pl.Series],
    features: str | Path,
    groups: str | Path,
    scores: Sequence[str],
    budget: str,
    seeds: Sequence[int],
) -> pl.DataFrame:
    """What else the tenths differ in: a curve may be one of length, low complexity or sources.

    Memory is that of the coresets, not of the pool.

    Args:
        coresets: seq_ids of each coreset of `Validate.deciles`, by name.
        features: columns seq_id, length, low_complexity. groups: seq_id, source; of all of the
            pool, in seq_id order. budget: as names have it.

    Returns:
        Columns score, decile (null for the random control), mean_length, mean_low_complexity, and
        `RESIDUES_OF` and its name for each source: its share of the residues. Means over seeds.
    """
    known = _rows_of(pl.concat(coresets.values()).unique(), features, groups)
    sources = known[SOURCE].drop_nulls().unique().sort().to_list()

    def one(seq_ids: pl.Series) -> np.ndarray:
        rows = known.join(seq_ids.to_frame("seq_id"), on="seq_id", maintain_order="right")
        residues = rows["length"].to_numpy().astype(np.float64)
        of_source = [residues[(rows[SOURCE] == name).fill_null(False)].sum() for name in sources]
        means = [residues.mean(), rows["low_complexity"].mean()]
        return np.array([*means, *np.divide(of_source, residues.sum())], np.float64)

    rows = []
    for score, tenth, selection in _selections(scores):
        values = [one(coresets[coreset_name(selection, budget, seed)]) for seed in seeds]
        rows.append((score, tenth, *np.mean(values, axis=0).tolist()))
    columns = ["mean_length", "mean_low_complexity", *(RESIDUES_OF + name for name in sources)]
    schema = {"score": pl.String, "decile": pl.Int32, **dict.fromkeys(columns, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _rows_of(seq_ids: pl.Series, features: str | Path, groups: str | Path) -> pl.DataFrame:
    """Columns seq_id, length, low_complexity, source of some sequences of the pool."""
    rows = seq_ids.to_frame("seq_id").lazy()
    for path, columns in ((features, ["length", "low_complexity"]), (groups, [SOURCE])):
        found = scan_rows(path, seq_ids).select("seq_id", *columns)
        rows = rows.join(found, on="seq_id", how="left")
    return rows.collect()
