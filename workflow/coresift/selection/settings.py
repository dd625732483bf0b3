"""Settings of selection: which scores are ranked how, budgets, seeds, CCI, controls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from coresift.selection.names import (
    CCI_VARIANT,
    DECILES,
    RESIDUES,
    STRATEGIES,
    Budget,
    Name,
    allowed,
    parse,
    read_budget,
)
from coresift.selection.request import Request
from coresift.settings import Positive, Section, plain

#: Controls that can be asked for beside every selection.
Control = Literal["random_length", "random_groups", "random_complexity", "random_tokens"]


def _known(text: str) -> str:
    """Hold a selection's name to the grammar and to the strategies that there are."""
    name = parse(text)
    if name.kind not in STRATEGIES:
        raise ValueError(f"no strategy {name.strategy!r}; allowed: {allowed()}")
    strategy = STRATEGIES[name.kind]
    if name.score is not None and not strategy.ranks:
        takers = ", ".join(n for n, s in STRATEGIES.items() if s.ranks)
        raise ValueError(f"{name.strategy} takes no .SCORE; those that do: {takers}")
    if name.arg is None and strategy.arg == "target":
        raise ValueError(f"{text} needs a name of influence.targets: {text}:TARGET")
    if name.arg is None and strategy.arg == "selection":
        raise ValueError(
            f"{text} needs the selection that it is matched to: {text}:SELECTION "
            f"({text} alone was {text}:top_influence)"
        )
    if name.arg is not None and strategy.arg is None:
        raise ValueError(f"{name.strategy} takes nothing after a colon, not :{name.arg}")
    if name.arg is not None and strategy.arg in ("selection", "cci"):
        _known(name.arg)
    if name.arg is not None and strategy.arg == "cci" and parse(name.arg).kind != "cci":
        raise ValueError(f"{name.strategy} takes a CCI selection after the colon, not {name.arg}")
    return text


_PATTERN = "|".join([*(name for name in STRATEGIES if name not in DECILES), "decile_[0-9]"])

#: A selection's name, see `selection.names`.
SelectionName = Annotated[
    str,
    AfterValidator(_known),
    Field(
        json_schema_extra={
            "pattern": rf"^({_PATTERN}|{CCI_VARIANT})(\.[a-z0-9_]+)?(:[a-z0-9_.:]+)?$"
        }
    ),
]

#: A number of sequences, or of residues: `50M residues`.
BudgetSetting = Annotated[
    Budget,
    PlainValidator(read_budget),
    PlainSerializer(lambda budget: budget.setting),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": f"^{RESIDUES}$"},
            ]
        }
    ),
]


def check_distinct(section: Section, keys: Sequence[str]) -> None:
    """Raise ValueError where a list of a section has a value twice."""
    for key in keys:
        values = getattr(section, key)
        if len(set(values)) != len(values):
            raise ValueError(f"{key} has a value twice: {', '.join(map(str, values))}")


def with_controls(asked: list[str], controls: list[Control]) -> list[str]:
    """Selections, and the controls that are matched to each that is not random."""
    chosen = [name for name in asked if not STRATEGIES[parse(name).kind].random]
    matched = [str(Name(control, arg=name)) for name in chosen for control in controls]
    return list(dict.fromkeys([*asked, *matched]))


class Cci(Section):
    """Coverage-centric influence (paper, section 3.3)."""

    prune_hard: float = Field(
        0.1, ge=0.0, lt=1.0, description="share of the most influential dropped first (beta)"
    )
    n_strata: Positive = Field(50, description="strata that the rest is cut into")
    scale: Literal["raw", "log", "rank", "length_rank"] = Field(
        "raw",
        description="of the scores, before they are pruned and cut; log needs positive scores; "
        "length_rank = rank among the sequences of about the same length",
    )
    strata: Literal["equal_width", "equal_mass"] = Field(
        "equal_width", description="bins of one width, or of one number of sequences (quantiles)"
    )


class Embedding(Section):
    """Selections that compare mean-pooled states of the fine-tuned model (docs/selection.md)."""

    cell_rows: Positive = Field(
        8192,
        description="most sequences of a k-means cell; pairs are compared within cells only. "
        "Memory grows with it, time in proportion (SemDeDup's cells of LAION hold about 8800)",
    )
    centre: bool = Field(
        True,
        description="subtract the pool's mean first: states of a language model share a large "
        "component (Ethayarajh 2019), and every cosine is near 1 with it",
    )
    threshold: float = Field(
        0.95,
        ge=-1,
        le=1,
        description="semdedup: cosine above which two sequences are duplicates (the paper's 1 - "
        "epsilon, which it sets by the share to be left, as the budget does here)",
    )
    neighbours: Positive = Field(
        32,
        description="facility_location: most similar sequences that one can stand for beside "
        "itself; not far below pool / budget",
    )
    d2_neighbours: Positive = Field(
        5, description="d2: edges of a sequence (k of the authors' published commands)"
    )
    d2_gamma_forward: float = Field(
        1.0,
        ge=0,
        description="d2: how fast a neighbour's difficulty counts less with distance (fixed at 1 "
        "in the authors' code)",
    )
    d2_gamma_reverse: float = Field(
        0.1,
        ge=0,
        description="d2: the same for what a sequence that is taken leaves to its neighbours "
        "(gamma of the authors' published commands)",
    )


class Selection(Section):
    """Which coresets are drawn."""

    strategies: list[SelectionName] = Field(
        ["top_influence", "cci", "random"],
        min_length=1,
        description="selections, `STRATEGY[.SCORE][:ARG]`: docs/selection.md",
    )
    score: str = Field(
        "influence",
        pattern=r"^[a-z0-9_]+$",
        description="what a strategy without `.SCORE` ranks: influence, residue, loss, grad_norm, "
        "error_norm, a name of influence.variants, or target_NAME of influence.targets",
    )
    draws: Literal["independent", "shared"] = Field(
        "independent",
        description="shared = one random order a seed for all selections, so that they overlap",
    )
    group: str = Field(
        "source",
        pattern=r"^[a-z0-9_]+$",
        description="grouping of the group_ strategies and of random_groups: source, cluster, or "
        "a name of corpus.groups",
    )
    controls: list[Control] = Field(
        ["random_length"],
        description="matched controls that are added for each selection that is not random",
    )
    budgets: list[BudgetSetting] = Field(
        [200_000],
        min_length=1,
        validate_default=True,
        description="sequences in a coreset, or residues: `50M residues`, `1.5k residues` (k, M, "
        "G): the strategy's order is cut at the sequence that brings them nearest",
    )
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [0, 1, 2], min_length=1, description="draws, one pretraining each"
    )
    cci: Cci = Field(default_factory=Cci)
    cci_variants: dict[Annotated[str, Field(pattern=f"^{CCI_VARIANT}$")], Cci] = Field(
        default_factory=dict,
        description="more CCI selections by name, e.g. the ablation cci_hard0: {prune_hard: 0}",
    )
    embedding: Embedding = Field(default_factory=Embedding)

    @property
    def names(self) -> list[str]:
        """Every selection: the strategies, the CCI variants, and their controls."""
        return with_controls([*self.strategies, *self.cci_variants], self.controls)

    def only(self, name: str) -> dict[str, Any]:
        """The section as plain data, with one selection and the CCI variant that it names."""
        section = plain(self)
        named = re.split("[.:]", name)
        variants = {key: value for key, value in section["cci_variants"].items() if key in named}
        return {**section, "strategies": [name], "controls": [], "cci_variants": variants}

    @property
    def ranked(self) -> list[str]:
        """The scores that selections rank, that of `score` first."""
        scores = [request.score for request in self.requests().values()]
        return list(dict.fromkeys([self.score, *(s for s in scores if s is not None)]))

    @property
    def reads_states(self) -> bool:
        """Whether a selection reads the sequences' embeddings."""
        return any(STRATEGIES[request.strategy].states for request in self.requests().values())

    def requests(self, names: list[str] | None = None) -> dict[str, Request]:
        """What is drawn by name: every selection, and those that only controls are matched to.

        Args:
            names: selections to be drawn, default those of this section.
        """
        found: dict[str, Request] = {}
        waiting = [*(self.names if names is None else names)]
        for name in waiting:
            found[name] = self.request(name)
            reference = found[name].reference
            if reference is not None and reference not in waiting:
                waiting.append(reference)
        return found

    def request(self, name: str) -> Request:
        """Everything that a draw of a selection depends on, apart from budget and seed.

        Raises:
            ValueError: an unknown CCI variant.
        """
        parts = parse(name)
        strategy = STRATEGIES[parts.kind]
        score = strategy.column
        if strategy.ranks:
            score = parts.score or self.score
        if strategy.arg == "target":
            score = f"target_{parts.arg}"
        options = {} if strategy.options is None else plain(self._options(parts))
        if strategy.states:
            options = {**plain(self.embedding), **options}
        if strategy.arg == "cci":
            kept = self.request(parts.arg or "cci")
            options, score = kept.options, kept.score
        return Request(
            name=name,
            strategy=parts.kind,
            score=score,
            feature=strategy.feature,
            by=self.group if strategy.by == "group" else strategy.by,
            reference=parts.arg if strategy.arg == "selection" else None,
            options=options,
            salt="" if self.draws == "shared" else name,
        )

    def _options(self, name: Name) -> Any:
        if name.strategy in STRATEGIES:
            return getattr(self, STRATEGIES[name.strategy].options or "")
        if name.strategy not in self.cci_variants:
            given = ", ".join(self.cci_variants) or "none"
            raise ValueError(
                f"no CCI variant {name.strategy!r}; in selection.cci_variants: {given}"
            )
        return self.cci_variants[name.strategy]

    @model_validator(mode="after")
    def _check(self) -> Selection:
        check_distinct(self, ("strategies", "budgets", "seeds", "controls"))
        seen: dict[tuple[str, str | None, str | None], str] = {}
        for name, request in self.requests().items():
            parts = parse(name)
            drawn = (parts.strategy, request.score, parts.arg)
            if seen.setdefault(drawn, name) != name:
                raise ValueError(f"strategies: {seen[drawn]} and {name} are the same selection")
        return self
