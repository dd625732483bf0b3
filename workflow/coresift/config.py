"""The configuration: the stages' settings, composed, cross-checked and loaded.

Each stage's `settings.py` is the schema, the defaults and the documentation of its sections; this
module is the one door for rules and tools. No script imports it: an edit of one stage's settings
reruns what reads them, not everything. `load_config` and `check_paths` fail before any job starts,
with one line per problem that names the key, the value and what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args

import polars as pl
from pydantic import Field, ValidationError, model_validator

from coresift.corpus.group_table import separator_of
from coresift.corpus.settings import Corpus, Decontaminate, Heldout, Subset, source_name
from coresift.corpus.tables import FEATURE
from coresift.dag.settings import Download
from coresift.influence.heads import HEADED
from coresift.influence.settings import Influence
from coresift.influence.tables import SCORE
from coresift.models.folder import lacking
from coresift.models.settings import architecture, reads_any_position
from coresift.report.settings import Report
from coresift.selection.names import Budget
from coresift.selection.request import Request
from coresift.selection.settings import Selection
from coresift.settings import ConfigError, Modality, Section, plain
from coresift.study.settings import Study
from coresift.tasks.readers.settings import MAP_ENDINGS
from coresift.tasks.settings import Evaluate, Task
from coresift.training.inert import INERT
from coresift.training.settings import Base, Finetune, Optimisation, Pretrain
from coresift.validate.settings import Validate

__all__ = [
    "INERT",
    "MAP_ENDINGS",
    "Config",
    "ConfigError",
    "Optimisation",
    "check_downloads",
    "check_paths",
    "load_config",
    "plain",
    "source_name",
]

#: Rows of the results that are neither a coreset's nor a checkpoint's, and held-out baselines.
OTHER_ROWS = {"constant", "kmer", "cnn", "untrained", "unigram"}


class Config(Section):
    """The whole configuration of one run."""

    run: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        description="name, one folder's: results go to results/{run}",
    )
    modality: Modality = Field(description="alphabet, normalisation and the task presets allowed")
    seed: int = Field(
        42,
        ge=0,
        description="of D_sub (but for subset.seed), corpus.sample, base and fine-tuning, masks, "
        "bootstrap; the coresets' and the heads' are selection.seeds and evaluate.seeds",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
        description="auto = a GPU where there is one; with cpu, jobs ask a cluster for no GPU",
    )
    downloads: dict[str, Download] = Field(
        default_factory=dict,
        description="files, by path, that are fetched where corpus.fasta or a task names them and "
        "they are absent",
    )
    corpus: Corpus
    decontaminate: Decontaminate = Field(default_factory=Decontaminate)
    heldout: Heldout = Field(default_factory=Heldout)
    subset: Subset = Field(default_factory=Subset)
    base: Base = Field(default_factory=Base)
    finetune: Finetune = Field(default_factory=Finetune)
    influence: Influence = Field(default_factory=Influence)
    selection: Selection = Field(default_factory=Selection)
    pretrain: Pretrain = Field(default_factory=Pretrain)
    tasks: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Task] = Field(
        default_factory=dict,
        description="downstream tasks by name: rows of the results (docs/tasks.md)",
    )
    evaluate: Evaluate = Field(default_factory=Evaluate)
    report: Report = Field(default_factory=Report)
    # `validate` is a name of pydantic's own.
    validation: Validate = Field(default_factory=Validate, alias="validate")
    study: Study = Field(default_factory=Study)

    @model_validator(mode="after")
    def _check(self) -> Config:
        if self.influence.shards > self.corpus.blocks:
            raise ValueError(
                f"influence.shards {self.influence.shards} is above corpus.blocks "
                f"{self.corpus.blocks}"
            )
        for name, task in self.tasks.items():
            if name.startswith("heldout_") or name == "coreset":
                raise ValueError(f"tasks.{name}: names of other outcomes: coreset, heldout_...")
            if task.modality not in (None, self.modality):
                raise ValueError(
                    f"tasks.{name}: a {task.modality} task, modality is {self.modality}"
                )
        taken = sorted(OTHER_ROWS & set(self.evaluate.checkpoints))
        if taken:
            raise ValueError(f"evaluate.checkpoints: names of other rows: {', '.join(taken)}")
        named = self.evaluate.cnn if isinstance(self.evaluate.cnn, list) else []
        one = self._one_sequence()
        if unknown := sorted(set(named) - set(one)):
            raise ValueError(f"evaluate.cnn: no task of one sequence is called {unknown}: {one}")
        columns = {*SCORE, *FEATURE, *self.influence.target_columns()}
        if taken := sorted(set(self.influence.variants) & columns):
            raise ValueError(
                f"influence.variants: other columns of the scores or features have names {taken}"
            )
        for name, target in self.influence.targets.items():
            for key, allowed in (("task", list(self.tasks)), ("heldout", self.heldout.sets)):
                value = getattr(target, key)
                if value is not None and value not in allowed:
                    raise ValueError(
                        f"influence.targets.{name}.{key}: no {'set' if key == 'heldout' else key} "
                        f"{value!r}; allowed: {', '.join(allowed) or 'none'}"
                    )
        allowed = ["hash", *self.corpus.groupings]
        if self.heldout.by not in (None, *allowed):
            hint = "; cluster needs corpus.cluster" if self.heldout.by == "cluster" else ""
            raise ValueError(
                f"heldout.by: no grouping {self.heldout.by}; allowed: {', '.join(allowed)}{hint}"
            )
        if self.subset.fasta is not None:
            unknown = sorted(set(self.subset.fasta) - set(self.corpus.fasta))
            if unknown:
                raise ValueError(f"subset.fasta: not in corpus.fasta: {unknown}")
        if self.base.size is not None and self.base.size < self.subset.size:
            raise ValueError(
                f"base.size {self.base.size} is below subset.size {self.subset.size}: D_sub is "
                "part of what the base is made from"
            )
        self._check_rows()
        self._check_selection()
        self._check_positions()
        return self

    def _check_rows(self) -> None:
        """Hold the rows that tasks name to those that there are."""
        rows = [*self.selection.names, *self.evaluate.checkpoints]
        rows += ["untrained"] * self.evaluate.untrained + ["cnn"] * bool(self.evaluate.cnn)
        for name, task in self.tasks.items():
            if unknown := [row for row in task.rows or [] if row not in rows]:
                raise ValueError(
                    f"tasks.{name}.rows: no row {', '.join(unknown)}; allowed: {', '.join(rows)}"
                )

    def _check_selection(self) -> None:
        """Hold what selections read to what the other stages make."""
        if self.selection.group not in self.corpus.groupings:
            raise ValueError(
                f"selection.group: no grouping {self.selection.group!r}; "
                f"allowed: {', '.join(self.corpus.groupings)}"
            )
        if self.selection.score not in self.scores:
            raise ValueError(
                f"selection.score: no score {self.selection.score!r}; "
                f"allowed: {', '.join(self.scores)}"
            )
        if self.study.group not in self.corpus.groupings:
            raise ValueError(
                f"study.group: no grouping {self.study.group!r}; "
                f"allowed: {', '.join(self.corpus.groupings)}"
            )
        by_held_out = self.aimed()
        for name, part in self.study.rounds.items():
            if aimed := sorted(by_held_out.keys() & set(part.names)):
                raise ValueError(
                    f"study.rounds.{name}: aimed at held-out sequences, which the study measures "
                    f"on: {', '.join(aimed)}"
                )
            if unknown := sorted(set(part.tasks) - set(self.tasks)):
                there = ", ".join(self.tasks) or "none"
                raise ValueError(f"study.rounds.{name}.tasks: no task {unknown}; allowed: {there}")
        for name, request in self.requests().items():
            if request.by is not None and request.by not in self.corpus.groupings:
                raise ValueError(
                    f"selection: {name} needs clusters: give corpus.cluster (corpus.cluster: {{}} "
                    "has its defaults)"
                )
            if request.score is not None and request.score not in self.scores:
                raise ValueError(
                    f"selection: {name} ranks {request.score!r}, no such score; "
                    f"allowed: {', '.join(self.scores)}"
                )
        unknown = [name for name in self.validation.scores if name not in self.scores]
        if unknown:
            raise ValueError(
                f"validate.scores: no score {', '.join(unknown)}; allowed: {', '.join(self.scores)}"
            )

    def longest_input(self, max_tokens: int) -> int:
        """Tokens of the longest input that there is in the pool, at most `max_tokens`."""
        return min(max_tokens, self.corpus.max_length + 2)

    def _check_positions(self) -> None:
        """Hold what models from scratch read to the positions that they learnt."""
        pretrain, tuned, base = self.pretrain, self.finetune.max_tokens, self.base
        read: list[tuple[str, Heldout | Influence, str, int, str]]
        read = [("heldout", self.heldout, "pretrain", pretrain.max_tokens, pretrain.preset)]
        if base.checkpoint is None:
            read.append(("influence", self.influence, "finetune", tuned, base.preset))
        for key, section, name, learnt, preset in read:
            most = section.max_tokens
            longest = self.longest_input(most)
            if longest > learnt and not reads_any_position(architecture(preset)):
                raise ValueError(
                    f"{key}.max_tokens {most} is above {name}.max_tokens {learnt}: the model "
                    f"learns no further position; allowed: at most {learnt}"
                )

    def portable(self, sections: Any) -> dict[str, Any]:
        """Some sections (pydantic's `include`) without the rows that tasks name, for a config that
        may not have these.
        """
        found = self.model_dump(mode="json", include=sections)
        for task in found.get("tasks", {}).values():
            task["rows"] = None
        return found

    def requests(self) -> dict[str, Request]:
        """Everything that is drawn by name: of `selection`, then of the rounds of the study.

        Raises:
            ValueError: a round names a CCI variant that there is none of.
        """
        names = [name for part in self.study.rounds.values() for name in part.names]
        return self.selection.requests() | self.selection.requests(names)

    def aimed(self) -> dict[str, str]:
        """Selections by scores whose target is a held-out set, and the set."""
        held_out = {
            f"target_{name}": target.heldout
            for name, target in self.influence.targets.items()
            if target.heldout is not None
        }
        requests = self.requests().items()
        return {name: held_out[r.score] for name, r in requests if r.score in held_out}

    def budgets(self) -> list[Budget]:
        """Every budget: of `selection`, then of the rounds of the study."""
        rounds = self.study.rounds.values()
        return list(
            dict.fromkeys([*self.selection.budgets, *(b for r in rounds for b in r.budgets)])
        )

    @property
    def scores(self) -> list[str]:
        """Columns of the scores that a selection can rank."""
        numbers = [name for name, kind in SCORE.items() if kind == pl.Float64]
        return [*numbers, *self.influence.columns()]

    def paths(self) -> dict[str, str]:
        """Every file and folder that the run reads, by key, but those of optional tasks.

        A task that a target names is not optional.
        """
        targets = self.influence.targets.items()
        needed = {target.task for _, target in targets}
        found = {f"corpus.fasta.{i}": path for i, path in enumerate(self.corpus.fasta)}
        for name, grouping in self.corpus.groups.items():
            if grouping.table is not None:
                found[f"corpus.groups.{name}.table"] = grouping.table
        found |= {f"heldout.files.{name}": path for name, path in self.heldout.files.items()}
        if self.base.checkpoint is not None:
            found["base.checkpoint"] = self.base.checkpoint
        for name, task in self.tasks.items():
            if not task.optional or name in needed:
                found |= {f"tasks.{name}.data.{k}": path for k, path in task.data.paths().items()}
        for name, target in targets:
            if target.fasta is not None:
                found[f"influence.targets.{name}.fasta"] = target.fasta
        found |= {f"study.kept.{i}": path for i, path in enumerate(self.study.kept_files())}
        checkpoints = self.evaluate.checkpoints.items()
        return found | {f"evaluate.checkpoints.{name}": path for name, path in checkpoints}

    @property
    def held_out_by(self) -> str:
        """What `heldout.by` comes to: hash, or a grouping."""
        return self.heldout.by or ("cluster" if self.corpus.cluster is not None else "hash")

    def cnn_tasks(self) -> list[str]:
        """Tasks of one sequence that the small convolutional network is trained on."""
        wanted = self.evaluate.cnn
        if isinstance(wanted, bool):
            wanted = self._one_sequence() if wanted else []
        return [name for name in wanted if self.tasks[name].evaluates("cnn")]

    def _one_sequence(self) -> list[str]:
        """Tasks whose examples are one sequence each."""
        return [name for name, task in self.tasks.items() if not task.two_sequences]

    def unused_downloads(self) -> list[str]:
        """Entries of `downloads` that no other key names: a misspelt path, or a leftover."""
        tasks = (path for task in self.tasks.values() for path in task.data.files())
        return sorted(set(self.downloads) - {*self.paths().values(), *tasks})

    def section(self, *names: str) -> dict[str, Any]:
        """The named sections as plain data: the slice of config a rule depends on."""
        return {name: plain(getattr(self, name)) for name in names}


def _location(parts: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in parts) or "config"


def load_config(values: dict[str, Any]) -> Config:
    """Validate a configuration mapping.

    Raises:
        ConfigError: one line per problem: key, value, what is allowed.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            given = problem["input"]
            shown = "" if isinstance(given, dict) else f" (given: {given!r})"
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "missing":
                message = "missing"
            if problem["type"] == "extra_forbidden":
                message = "unknown key" + _nearest(problem["loc"])
            lines.append(f"  {_location(problem['loc'])}: {message}{shown}")
        raise ConfigError("invalid configuration:\n" + "\n".join(lines)) from None


def check_paths(config: Config) -> None:
    """Hold what a configuration names to what is there: paths, seen from here, and architectures.

    Snakemake itself drops what depends on an absent file where later outputs exist, and calls the
    run complete.

    Raises:
        ConfigError: one line a path, with its key, that is neither here nor in `downloads`, or is a
            folder where a file is needed or the other way about; or a checkpoint's folder without
            its files, a table of groups without its columns, an empty held-out file.
    """
    lines = []
    for key, path in config.paths().items():
        if path in config.downloads:
            continue
        if not os.path.exists(path):
            lines.append(f"  {key}: no such file or folder, nor an entry of downloads: {path}")
        elif key.startswith(("corpus.", "heldout.", "influence.")) and os.path.isdir(path):
            lines.append(f"  {key}: a folder, not a file: {path}")
        elif key.startswith(("base.", "evaluate.")) and not os.path.isdir(path):
            lines.append(f"  {key}: a file, not a checkpoint's folder: {path}")
        elif key.startswith(("base.", "evaluate.")) and (missing := lacking(path)):
            lines.append(f"  {key}: not a checkpoint, no {', no '.join(missing)}: {path}")
        elif key.startswith("heldout.files.") and not os.path.getsize(path):
            lines.append(f"  {key}: an empty file: {path}")
        elif key.startswith("corpus.groups."):
            try:
                separator_of(path)
            except ValueError as error:
                lines.append(f"  {key}: {error}")
    if lines:
        raise ConfigError(f"wrong paths, seen from {os.getcwd()}:\n" + "\n".join(lines))
    check_architectures(config)


def check_downloads(config: Config, digest: Callable[[str, str], str]) -> None:
    """Hold files that `downloads` names, and that are here, to their size and checksum.

    Args:
        digest: (path, name of the checksum) -> hex digits.

    Raises:
        ConfigError: one line a file that is not what its entry says.
    """
    lines = []
    for path, source in config.downloads.items():
        if not os.path.isfile(path):
            continue
        size = os.path.getsize(path)
        if source.size not in (None, size):
            lines.append(f"  downloads.{path}.size: the file has {size} bytes, not {source.size}")
        elif source.checksum is not None:
            name, expected = source.checksum.split(":")
            if (found := digest(path, name)) != expected:
                lines.append(f"  downloads.{path}.checksum: the file's is {name}:{found}")
    if lines:
        raise ConfigError(
            "not the files that the config means (remove one to fetch it again):\n"
            + "\n".join(lines)
        )


def check_architectures(config: Config) -> None:
    """Hold an architecture that a config.json gives to what can be built, and sets of parameters
    to the layers that there are; presets are tested.

    Raises:
        ConfigError: it names the key and the cause.
    """
    presets = {"pretrain.preset": config.pretrain.preset}
    if config.base.checkpoint is None:
        presets["base.preset"] = config.base.preset
    if config.validation.retrained():
        presets["validate.training.preset"] = config.validation.training.preset
    for key, preset in presets.items():
        if preset.endswith(".json"):
            from coresift.models.checkpoint import check_architecture  # seconds: only where needed

            try:
                check_architecture(preset, config.modality)
            except ValueError as error:
                raise ConfigError(f"{key}: {error}") from None
    for key, parameters, models in _parameters(config):
        from coresift.influence.parameters import resolve_layers  # as above
        from coresift.models.checkpoint import skeleton

        for name, from_preset in models:
            try:
                resolve_layers(skeleton(name, config.modality, from_preset), parameters)
            except ValueError as error:
                cause = str(error).removeprefix("influence.parameters: ")
                raise ConfigError(f"{key}, of {name}: {cause}") from None


def _parameters(config: Config) -> Iterator[tuple[str, str | list[str], set[tuple[str, bool]]]]:
    """Key and value of each set of parameters that may not be in a model, and the models (each a
    preset or not) it is for."""
    base, validation = config.base, config.validation
    scored = (base.checkpoint or base.preset, base.checkpoint is None)
    retrained = (validation.training.preset, True)
    for name, score in config.influence.scores().items():
        headless = score.parameters == "head" and not _has_head(*scored)
        if headless or isinstance(score.parameters, list):
            of = "" if name == "influence" else f"variants.{name}."
            yield f"influence.{of}parameters", score.parameters, {scored}
    models = {"finetuned": scored, "pool": retrained}
    # A default of `validate` is no reason to stop a run that does not validate.
    for i, parameters in enumerate(validation.parameters if validation.retrained() else []):
        if isinstance(parameters, list):
            found = {models[model] for model in validation.models}
            yield f"validate.parameters.{i}", parameters, found


def _has_head(name: str, preset: bool) -> bool:
    """Whether a preset's or folder's type tells that it has a head to score."""
    try:
        described = architecture(name if preset else str(Path(name) / "config.json"))
    except ValueError:
        return False
    return described["model_type"] in HEADED


def _nearest(location: tuple[int | str, ...]) -> str:
    """The allowed keys beside an unknown one."""
    model: Any = Config
    for part in location[:-1]:
        fields = _keys(model)
        if fields is None:  # a mapping of sections, such as `tasks`
            model = get_args(model)[-1]
        elif part in fields:
            model = fields[part].annotation
            if isinstance(model, UnionType):  # a section or null
                model = get_args(model)[0]
        else:
            return ""
    fields = _keys(model)
    return f"; allowed: {', '.join(fields)}" if fields else ""


def _keys(model: Any) -> dict[str, Any] | None:
    """Fields of a section by the key that the user writes; None of a mapping."""
    fields = getattr(model, "model_fields", None)
    return None if fields is None else {f.alias or name: f for name, f in fields.items()}
