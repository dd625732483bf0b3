"""What a study's page says of more different sequences at equal residues."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from coresift.study.book import Book, title_of
from coresift.study.cells import by_budget
from coresift.study.words import TITLE, listed, table_lines


def regime_in_short(book: Book) -> Iterator[str]:
    """Where more sequences at equal residues lower the loss."""
    for task, own in _known_regime(book):
        names = [
            f"{r['selection']} by {r['gain']:.3f} nats (adjusted p {r['p_adjusted']:.2g})"
            for r in own.filter(pl.col("mark") == "better").to_dicts()
        ]
        yield (
            f"- {title_of(task)}: more sequences at equal residues (random_x10, pool) beat "
            f"random in {len(names)} of {own.height} comparisons: {listed(names)}."
        )


def regime_lines(book: Book) -> Iterator[str]:
    """What ten times the sequences, and all of the pool, give at equal residues."""
    if not book.regime.height:
        yield "random_x10 or pool beside random, of a budget that is read once: not run, not known."
        return
    yield (
        "All models of random, random_x10 and pool, whatever their round; p-values are adjusted "
        "over an outcome.\n"
    )
    rows = book.regime
    yield from table_lines(
        rows.select(
            TITLE.alias("outcome"),
            *("selection", "control", "gain", "p_adjusted", "mark", "seeds", "control_seeds"),
            pl.Series(
                "passes of the control",
                [book.passes(budget) for budget in by_budget(rows["control"])],
                dtype=pl.Float64,
            ),
        )
    )
    for task, shown, without in regime_budgets(book):
        yield f"- {title_of(task)}: shown at {listed(shown)}, not shown at {listed(without)}."
    yield (
        "\nWhere it is not shown, random sequences of that budget are enough for this model, or "
        "too few of more are read to tell: a selection that keeps the mixture of sources has "
        "little to gain there; one that changes it may. Fewer than ten passes over a control "
        "cannot read ten times its sequences; a budget of which not one pass is read is left out."
    )


def _known_regime(book: Book) -> Iterator[tuple[str, pl.DataFrame]]:
    """By outcome, the comparisons of more sequences with random of which something is known."""
    known = book.regime.filter(pl.col("mark") != "unknown")
    for (task,), rows in known.group_by("task", maintain_order=True):
        yield str(task), rows


def regime_budgets(book: Book) -> Iterator[tuple[str, list[str], list[str]]]:
    """By outcome, the budgets at which more sequences are shown to help, and the others."""
    for task, own in _known_regime(book):
        better = set(by_budget(own.filter(pl.col("mark") == "better")["selection"]).to_list())
        budgets = by_budget(own["selection"]).unique(maintain_order=True).to_list()
        yield task, [b for b in budgets if b in better], [b for b in budgets if b not in better]
