"""The paper's printed figures (arXiv 2512.12932), beside a run's own and never mixed with them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from coresift.tasks.settings import QUICK

_PAPER = Path(__file__).resolve().parents[3] / "resources" / "paper" / "arxiv_2512_12932.csv"

#: The paper's column -> our task, our metric, and what the printed figure is divided by.
COLUMNS: dict[str, tuple[str, str, float]] = {
    "TypeCls ACC": ("type_cls", "accuracy", 100),
    "TypeCls F1": ("type_cls", "macro_f1", 100),
    "Modif AUC": ("modif", "mean_auc", 100),
    "CRI-On SC": ("crispr_on", "spearman", 100),
    "CRI-On MSE": ("crispr_on", "mse", 1),
    "SecStruct F1": ("sec_struct", "pooled_f1", 100),
    "Distance SC": ("dist_map", "r2", 100),  # BEACON's metric; the paper calls its column SC
    "Contact Top-L": ("contact_map", "beacon_top_l", 100),
    "RBP ACC": ("rbp", "accuracy", 100),
    "Localization ACC": ("localization", "accuracy", 100),
    "SecStruct ACC": ("sec_struct_3", "macro_accuracy", 100),
    "PPI MAE": ("ppi_affinity", "mae", 1),
    "PPI RMSE": ("ppi_affinity", "rmse", 1),
}
#: What the printed figures are of; they come without intervals.
SCALE = {
    "rna": "a pool of 2 M RNAcentral sequences, coresets of 0.2 M, a 100 M model, 10 epochs",
    "protein": "a pool of 4.5 M proteins, coresets of 0.2 M, 10 epochs",
}


def paper_table(modality: str) -> pl.DataFrame:
    """The paper's table of a modality as printed: a row a corpus, a column a metric."""
    rows = pl.read_csv(_PAPER).filter(pl.col("modality") == modality)
    return rows.pivot(on="column", index="pretrained_on", values="value")


def beside_paper(results: pl.DataFrame, modality: str) -> pl.DataFrame:
    """A row a metric that both have: our selections' means, then the paper's, in one unit.

    What protocol quick gives is not set beside the paper's.

    Args:
        results: columns of `results.RESULT`.

    Returns:
        Columns task, protocol, metric, `ours: <selection>` and `paper: <corpus>` (Float64; null if
        not given). No rows where no task is one of the paper's.
    """
    printed = pl.read_csv(_PAPER).filter(pl.col("modality") == modality)
    names = pl.DataFrame(
        [(column, *ours) for column, ours in COLUMNS.items()],
        schema=["column", "task", "metric", "unit"],
        orient="row",
    )
    theirs = printed.join(names, on="column").select(
        "task",
        "metric",
        pl.format("paper: {}", "pretrained_on").alias("source"),
        (pl.col("value") / pl.col("unit")).alias("value"),
    )
    slow = results.filter(pl.col("protocol") != QUICK)
    ours = slow.join(theirs, on=["task", "metric"], how="semi").select(
        "task",
        "protocol",
        "metric",
        pl.format("ours: {}", "selection").alias("source"),
        value="mean",
    )
    index = ["task", "protocol", "metric"]
    theirs = theirs.join(ours.select(index).unique(), on=["task", "metric"]).select(ours.columns)
    return pl.concat([ours, theirs]).pivot(on="source", index=index, values="value")
