"""What the passes measured -> the columns of the score table."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from coresift.influence.settings import Influence
from coresift.influence.tables import score_schema
from coresift.tables import conform


def per_residue(measured: pl.DataFrame) -> pl.Series:
    """n g^T C g of sequences of n counted tokens, g the gradient of the mean loss.

    It is the self-influence of the summed loss, (n g)^T C (n g), a token: what a residue of a
    budget buys. Under independent token gradients it does not depend on n. With g = 1/n sum_t g_t,
    E[g_t] = 0 and cov(g_t) = S, cov(g) = S / n, so that

        E[g^T C g] = tr(C cov(g)) = tr(C S) / n,   E[n g^T C g] = tr(C S).

    Where E[g_t] = m is not 0, n m^T C m is added: the part of the gradient that the tokens share.

    Args:
        measured: columns of `MEASURED`.
    """
    return measured["influence"] * measured["n_tokens"]


def score_table(influence: Influence, measured: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Scores of a config as one wide table (`tables.score_schema`), in seq_id order.

    A variant is per sequence or per residue, of the tokens that its own loss counts. A target is
    neither: g_V^T C g is linear in g, so the summed loss's influence on V, a token, is that of the
    mean loss.

    Args:
        measured: a table of `MEASURED` by name of a score, all of the same sequences.
    """
    main = measured["influence"].with_columns(residue=per_residue(measured["influence"]))
    values = {
        name: per_residue(measured[name]) if score.per == "residue" else measured[name]["influence"]
        for name, score in influence.scores().items()
    }
    values |= {name: measured[name]["influence"] for name in influence.target_columns()}
    wide = main.with_columns(**values)
    return conform(wide, score_schema(influence.columns()))
