"""What a row is compared with, and what each control is for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from coresift.selection.names import Budget, budget_of, parse

Role = Literal["random", "matched", "more_data", "regime", "floor"]

#: What a control has in common with its selection, and so may explain of a gain.
MATCHED = {
    "random_length": "its lengths",
    "random_complexity": "its low complexity",
    "random_tokens": "its number of residues",
    "random_groups": "its share of each group",
    "random_kept": "what it leaves out",
}
#: More data at equal compute.
REGIME = ("pool", "random_x10")
#: Rows that know no pretraining data.
UNIGRAM = "unigram"
#: Baselines without chance: no weights are drawn.
EXACT = ("constant", "kmer", UNIGRAM)
FLOORS = ("untrained", "constant", "kmer", "cnn", UNIGRAM)


@dataclass(frozen=True)
class Row:
    """A row's name in parts; selection and budget are None of a baseline or a given checkpoint."""

    name: str
    selection: str | None = None
    budget: Budget | None = None

    @property
    def kind(self) -> str | None:
        """The strategy of a selection."""
        return None if self.selection is None else parse(self.selection).kind

    @property
    def is_control(self) -> bool:
        """Whether it is drawn by chance."""
        return self.kind in ("random", *MATCHED, *REGIME)

    @property
    def matched_to(self) -> str | None:
        """The selection that a matched control is matched to."""
        if self.selection is None or self.kind not in MATCHED:
            return None
        return parse(self.selection).arg or "cci"  # random_kept may leave it out


def row_of(name: str) -> Row:
    """The parts of a row's name: `SELECTION-BUDGET`, or one word."""
    selection, dash, budget = name.rpartition("-")
    return Row(name, selection, budget_of(budget)) if dash else Row(name)


def role(row: Row, control: Row) -> Role | None:
    """What a control is to a row; None if the two are not compared.

    A selection is held against the random draws of its budget, against those that are matched to
    it, and against the floors. Random itself is held against the floors, and more data at equal
    compute against random: can this run show redundancy at all?
    """
    if control.name in FLOORS:
        asked = row.kind == "random" or not row.is_control
        return "floor" if asked and row.name not in FLOORS else None
    if row.selection is None or row.budget != control.budget:
        return None
    if row.is_control:
        return "regime" if row.kind in REGIME and control.kind == "random" else None
    if control.kind in REGIME:
        return "more_data"
    if control.kind == "random":
        return "random"
    return "matched" if control.matched_to == row.selection else None


def comparisons(names: Sequence[str]) -> list[tuple[str, str, Role]]:
    """Every (row, control, role) among rows; linear in the rows, not all pairs."""
    rows = [row_of(name) for name in names]
    pairs = ((row, control, role(row, control)) for row in rows for control in rows)
    return [(row.name, control.name, found) for row, control, found in pairs if found]


def short(control: str) -> str:
    """A control's name in a cell of the verdict: 'random_length:cci-1000' -> 'length'."""
    kind = row_of(control).kind or control
    return kind.removeprefix("random_")


def explains(control: str) -> str:
    """What a matched control has in common with its selection."""
    return next(text for kind, text in MATCHED.items() if kind == row_of(control).kind)


def absent(names: Iterable[str]) -> list[str]:
    """Controls that a run could have and has not."""
    rows = [row_of(name) for name in names]
    there = {row.kind or row.name for row in rows}
    return [n for n in ("random", *MATCHED, *REGIME, *FLOORS) if n not in there]
