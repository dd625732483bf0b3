"""Names of selections and coresets, and what each strategy needs: `STRATEGY[.SCORE][:ARG]`.

`cci.residue`, `target:trna`, `random_length:cci.residue`, `random_length:target:trna`: the first
colon ends the strategy and its score, and what follows is one argument, which may be a selection
again. A coreset is `{selection}-{budget}-s{seed}`, in tables and as a folder; a budget is a number
of sequences (`200000`) or of residues (`50Mr`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

_WORD = "[a-z0-9_]+"
_PART = rf"{_WORD}(?:\.{_WORD})?"
#: A selection and a coreset as regular expressions without groups, for wildcards.
SELECTION = rf"{_PART}(?::{_PART})*"
BUDGET = r"\d+(?:[kMG]?r)?"
CORESET_NAME = rf"{SELECTION}-{BUDGET}-s\d+"

#: A budget in residues as the configuration has it, with groups number and prefix.
RESIDUES = r"(\d+(?:\.\d+)?)([kMG]?) residues"
#: Decimal prefixes, the largest first.
_PREFIXES = {"G": 10**9, "M": 10**6, "k": 10**3, "": 1}


@dataclass(frozen=True)
class Budget:
    """How much a coreset holds. `str()` is its form in names, one for each budget.

    `200000` sequences; residues with the largest prefix that leaves an integer: `50Mr`, `1500kr`.

    Attributes:
        amount: how many, at least one.
        unit: of what.
    """

    amount: int
    unit: Literal["sequences", "residues"] = "sequences"

    def __str__(self) -> str:
        if self.unit == "sequences":
            return str(self.amount)
        number, prefix = self._with_prefix()
        return f"{number}{prefix}r"

    @property
    def setting(self) -> int | str:
        """As the configuration has it: `read_budget` undoes this."""
        if self.unit == "sequences":
            return self.amount
        number, prefix = self._with_prefix()
        return f"{number}{prefix} residues"

    def residues(self, mean_length: float) -> float:
        """Residues of a coreset of average sequences."""
        return self.amount if self.unit == "residues" else self.amount * mean_length

    def sequences(self, mean_length: float) -> int:
        """Sequences of a coreset of average sequences, at least one."""
        return max(1, round(self.residues(mean_length) / mean_length))

    def _with_prefix(self) -> tuple[int, str]:
        prefix, factor = next((p, f) for p, f in _PREFIXES.items() if self.amount % f == 0)
        return self.amount // factor, prefix


def read_budget(value: Any) -> Budget:
    """A budget as the configuration has it: an integer, or text such as `1.5M residues`.

    Raises:
        ValueError: it is neither, or not a whole number from 1 up.
    """
    if isinstance(value, Budget):
        return value
    if isinstance(value, str) and re.fullmatch(r"[1-9]\d*", value):
        return Budget(int(value))  # a list on Snakemake's command line holds texts
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return Budget(value)
    found = re.fullmatch(RESIDUES, value) if isinstance(value, str) else None
    residues = Fraction(found[1]) * _PREFIXES[found[2]] if found else Fraction(0)
    if residues < 1 or residues.denominator != 1:
        raise ValueError(
            "allowed: a number of sequences, e.g. 200000, or of residues, e.g. 50M residues, "
            "1.5k residues (k, M and G; a whole number from 1 up)"
        )
    return Budget(int(residues), "residues")


def budget_of(text: str) -> Budget:
    """The budget of a name: undoes `str()`.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(BUDGET, text):
        raise ValueError(f"{text!r} is no budget: 200000, 50Mr")
    if text[-1] != "r":
        return Budget(int(text))
    number, prefix = re.fullmatch(r"(\d+)([kMG]?)r", text).groups()  # type: ignore[union-attr]
    return Budget(int(number) * _PREFIXES[prefix], "residues")


@dataclass(frozen=True)
class Strategy:
    """What a way to draw needs beside the pool.

    Attributes:
        ranks: reads a score that the name may choose by `.SCORE`.
        column: reads this column of the scores, whatever `selection.score` is.
        feature: reads this column of the pool's features (`corpus.tables.FEATURE`).
        arg: what stands after the colon: a selection that it is matched to, a CCI selection (may
            be left out), or a target set.
        by: reads groups: `cluster`, or `group` for the grouping that `selection.group` names.
        random: asks for nothing but chance, and so needs no matched control.
        options: the key of `selection` that holds its options.
        states: reads the sequences' embeddings, and the options of `selection.embedding`.
    """

    ranks: bool = False
    column: str | None = None
    feature: str | None = None
    arg: Literal["selection", "cci", "target"] | None = None
    by: Literal["cluster", "group"] | None = None
    random: bool = False
    options: str | None = None
    states: bool = False


#: Tenths of a score, the lowest first.
DECILES = {f"decile_{tenth}": tenth for tenth in range(10)}

#: Every strategy by name; the page docs/selection.md says what each is for.
STRATEGIES: dict[str, Strategy] = {
    "top_influence": Strategy(ranks=True),
    "bottom_influence": Strategy(ranks=True),
    "top_length_rank": Strategy(ranks=True),
    "cci": Strategy(ranks=True, options="cci"),
    "target": Strategy(arg="target"),
    "loss": Strategy(column="loss"),
    "loss_low": Strategy(column="loss"),
    "loss_mid": Strategy(column="loss"),
    "grad_norm": Strategy(column="grad_norm"),
    "error_norm": Strategy(column="error_norm"),
    **dict.fromkeys(DECILES, Strategy(ranks=True)),
    "cluster_representative": Strategy(by="cluster"),
    "cluster_balanced": Strategy(by="cluster"),
    "cluster_sqrt": Strategy(by="cluster"),
    "cluster_cci": Strategy(ranks=True, by="cluster", options="cci"),
    "group_balanced": Strategy(by="group"),
    "group_sqrt": Strategy(by="group"),
    "group_cci": Strategy(ranks=True, by="group", options="cci"),
    "semdedup": Strategy(states=True),
    "facility_location": Strategy(states=True),
    "k_center": Strategy(states=True),
    "d2": Strategy(ranks=True, states=True),
    "kmeans_cci": Strategy(ranks=True, options="cci", states=True),
    "random": Strategy(random=True),
    "random_x10": Strategy(random=True),
    "pool": Strategy(random=True),
    "random_length": Strategy(arg="selection", random=True),
    "random_complexity": Strategy(arg="selection", feature="low_complexity", random=True),
    "random_tokens": Strategy(arg="selection", random=True),
    "random_groups": Strategy(arg="selection", by="group", random=True),
    "random_kept": Strategy(arg="cci", random=True),
}

#: Strategies that are matched to another selection's coreset of the same budget and seed.
MATCHED = [name for name, strategy in STRATEGIES.items() if strategy.arg == "selection"]

#: Names that the user may give to further CCI selections (`selection.cci_variants`).
CCI_VARIANT = "cci_[a-z0-9_]+"


@dataclass(frozen=True)
class Name:
    """The parts of a selection's name; `str()` puts them together again."""

    strategy: str
    score: str | None = None
    arg: str | None = None

    @property
    def kind(self) -> str:
        """The key of `STRATEGIES`: cci for every name that only a CCI variant may have."""
        return "cci" if self.strategy.startswith("cci_") else self.strategy

    def __str__(self) -> str:
        score = "" if self.score is None else f".{self.score}"
        return f"{self.strategy}{score}" + ("" if self.arg is None else f":{self.arg}")


def parse(text: str) -> Name:
    """Cut a selection's name into its parts; whether they exist is not asked.

    Raises:
        ValueError: it is not `STRATEGY[.SCORE][:ARG]`.
    """
    if not re.fullmatch(SELECTION, text):
        raise ValueError(f"{text!r} is no selection's name: STRATEGY[.SCORE][:ARG]")
    head, colon, arg = text.partition(":")
    strategy, dot, score = head.partition(".")
    return Name(strategy, score if dot else None, arg if colon else None)


def coreset_name(selection: str, budget: Budget | str, seed: int | str) -> str:
    """The name of a coreset, which `parse_coreset` undoes; budget and seed may be text of one."""
    return f"{selection}-{budget}-s{seed}"


def parse_coreset(name: str) -> tuple[str, Budget, int]:
    """Selection, budget and seed of a coreset's name.

    Raises:
        ValueError: it is not `{selection}-{budget}-s{seed}`.
    """
    if not re.fullmatch(CORESET_NAME, name):
        raise ValueError(f"{name!r} is no coreset's name: SELECTION-BUDGET-sSEED")
    selection, budget, seed = name.rsplit("-", 2)
    return selection, budget_of(budget), int(seed[1:])


def without_seed(name: str) -> str:
    """What the seeds of a row share: 'cci-1000-s0' -> 'cci-1000', 'untrained-s1' -> 'untrained'."""
    return re.sub(r"-s\d+$", "", name)


def row_name(model: str) -> str:
    """What the budgets and seeds of a row share, as `rows` of a task names it.

    'cci-1000-s0' -> 'cci', 'untrained-s1' -> 'untrained'; another name is its own.
    """
    if re.fullmatch(CORESET_NAME, model):
        return parse_coreset(model)[0]
    return without_seed(model)


def allowed() -> str:
    """Every strategy with what may follow it, as the user writes it."""
    args = {"selection": ":SELECTION", "cci": "[:CCI]", "target": ":TARGET", None: ""}
    return ", ".join(
        name + "[.SCORE]" * strategy.ranks + args[strategy.arg]
        for name, strategy in STRATEGIES.items()
    )
