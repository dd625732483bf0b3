"""Small models trained on parts of a small pool, and their loss on sequences they did not see.

One retraining is seconds to minutes. Finished ones are kept in a folder by what they depend on, and
one that was killed goes on from its last checkpoint (`training.mlm`): a killed job loses little.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from coresift.corpus.blocks import bounds
from coresift.hashing import content_hash
from coresift.heldout.losses import Reading, masked_losses
from coresift.heldout.masks import Masks, Questions
from coresift.models.checkpoint import build_model, machine, origin
from coresift.models.tokenizer import Encoder
from coresift.tables import conform, read_table, write_table
from coresift.training.inert import deciding
from coresift.training.mlm import finish, train_mlm
from coresift.validate.small import subsets_of
from coresift.validate.tables import RETRAINED

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One retraining.

    Attributes:
        number: `RETRAINED.run`.
        seed: of weights, order and masks.
        rows: rows of the small pool that are in the training stream, ascending.
        left_out: those of them that are not learnt from, see `train_mlm`.
    """

    number: int
    seed: int
    rows: tuple[int, ...]
    left_out: tuple[int, ...] = ()


def datamodel_runs(subsets: np.ndarray, seeds: Sequence[int]) -> list[Run]:
    """A retraining for each of (m, n) subsets and each seed."""
    rows = [tuple(map(int, np.flatnonzero(subset))) for subset in subsets]
    return [Run(i, seed, rows[i]) for seed in seeds for i in range(len(rows))]


def leave_one_out_runs(n: int, seeds: Sequence[int]) -> list[Run]:
    """A retraining without each of n sequences, and one with all of them, for each seed.

    Whatever is left out, order and masks of the others, steps and learning rates are the same.
    """
    rows = tuple(range(n))
    return [Run(i, seed, rows, (i,) if i >= 0 else ()) for seed in seeds for i in range(-1, n)]


def runs_of(check: str, n: int, options: Mapping[str, Any], seed: int) -> list[Run]:
    """The retrainings of a check over a small pool of n sequences.

    Args:
        options: values of the check's section, `settings.Datamodel` or `settings.LeaveOneOut`.
        seed: of the subsets.
    """
    if check == "lds":
        return datamodel_runs(subsets_of(n, options, seed), options["seeds"])
    return leave_one_out_runs(n, options["seeds"])


def asked_of(check: str, target: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """Sequences whose loss is asked for: V, and for leave-one-out the tiny pool's own.

    Returns:
        Columns set (V or own), seq_id, sequence.
    """
    own = pool.head(0) if check == "lds" else pool
    sets = {"V": target, "own": own}
    return pl.concat(
        rows.select(pl.lit(name).alias("set"), "seq_id", "sequence") for name, rows in sets.items()
    )


def part_of_runs(runs: Sequence[Run], part: int, n_parts: int) -> Sequence[Run]:
    """The retrainings of job `part` of `n_parts`."""
    start, stop = bounds(part, n_parts, len(runs))
    return runs[start:stop]


@dataclass(frozen=True)
class Bench:
    """What all retrainings of a check share.

    Attributes:
        pool: the small pool, columns seq_id and sequence, in seq_id order.
        tested: the sequences whose loss is asked for, columns set, seq_id, sequence.
        masks: of the tested sequences: every model is asked the same.
        options: values of `settings.Retraining`.
        residues: trained on in one run.
    """

    modality: str
    pool: pl.DataFrame
    tested: pl.DataFrame
    masks: Masks
    options: Mapping[str, Any]
    residues: int
    device: torch.device

    def retrain(self, runs: Iterable[Run], cache: str | Path) -> pl.DataFrame:
        """Losses of the runs on the tested sequences (`RETRAINED`, in the order of the runs).

        Args:
            cache: folder of finished retrainings and of resumable states.
        """
        questions = self.masks.questions(self.tested)
        runs = list(runs)
        start = time.monotonic()
        parts = [pl.DataFrame(schema=dict(RETRAINED))]
        for i, run in enumerate(runs):
            parts.append(self._losses(run, questions, Path(cache)))
            rate = (i + 1) / (time.monotonic() - start)
            logger.info(
                "run %d seed %d: loss %.4f; %d/%d, %.2f/s, %.0f s left",
                run.number, run.seed, parts[-1]["loss"].mean(), i + 1, len(runs), rate,
                (len(runs) - i - 1) / rate,
            )  # fmt: skip
        return pl.concat(parts)

    def _losses(self, run: Run, questions: Questions, cache: Path) -> pl.DataFrame:
        preset = self.options["preset"]
        model, tokenizer = build_model(preset, self.modality, run.seed, self.options["max_tokens"])
        encoder = Encoder.from_tokenizer(tokenizer, self.modality)
        key = content_hash([origin(model, encoder), self._key(run)])
        path = cache / f"{key}.parquet"
        if path.is_file():
            try:
                return read_table(path, RETRAINED)
            except ValueError as error:
                logger.warning("trained again: %s", error)
        kept = self.pool["sequence"].gather(list(run.rows)).to_list()
        work = cache / key
        train_mlm(
            model, encoder, kept, self.residues, dict(self.options), run.seed, self.device, work,
            left_out=[run.rows.index(row) for row in run.left_out],
        )  # fmt: skip
        reading = Reading(self.options["max_tokens"], self.options["tokens_per_batch"])
        loss, _ = masked_losses(
            model.eval(), encoder, questions.rows["sequence"].to_list(), questions.places, reading
        )
        table = questions.rows.select("set", "seq_id").with_columns(
            pl.lit(run.number).alias("run"),
            pl.lit(run.seed).alias("seed"),
            pl.Series("loss", loss),
        )
        table = conform(table, RETRAINED)
        write_table(path, table, RETRAINED)
        finish(work)
        return table

    def _key(self, run: Run) -> list[Any]:
        """All that a run's losses depend on, but the untrained model."""
        return [
            *(
                deciding(self.options),
                self.residues,
                machine(self.device, __file__),
                vars(self.masks),
            ),
            *(run.number, run.seed, run.rows, run.left_out),
            *(self.pool["seq_id"].to_list(), self.tested.select("set", "seq_id").rows()),
        ]
