"""Fixed masks of the held-out sequences: the same question to every model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from coresift.alphabet import ALPHABETS
from coresift.hashing import seeded_subsets


class HeldOutError(ValueError):
    """Held-out sequences that no model can be tested on; the message names the set."""


@dataclass(frozen=True)
class Questions:
    """Masked places of held-out sequences, the same for every model.

    A sequence without a canonical residue has nothing to predict and is left out, for every model
    alike: so the tables of all models have the same rows in the same order.

    Attributes:
        rows: the sequences that are asked about, in their order; columns as given.
        places: (n_masks, places) positions of the masked residues of each.
        of: sequences before any was left out.
    """

    rows: pl.DataFrame
    places: list[np.ndarray]
    of: int

    @property
    def n_masked(self) -> np.ndarray:
        """(n,) int64 masked places of each sequence, all patterns together."""
        return np.array([found.size for found in self.places], dtype=np.int64)


@dataclass(frozen=True)
class Masks:
    """What decides which residues are masked, beside the sequences.

    Attributes:
        modality: its canonical letters alone are masked and predicted.
        fraction: share of a sequence's canonical residues in one pattern, at least one residue.
        n_masks: patterns of a sequence, drawn independently.
        seed: of the draws, with the seq_id: neither set, order, nor model changes them.
    """

    modality: str
    fraction: float
    n_masks: int
    seed: int

    def places(self, sequence: str, seq_id: str) -> np.ndarray:
        """(n_masks, places) int64 sorted positions to mask; no column without canonical letters."""
        residues = np.frombuffer(sequence.encode("latin-1"), np.uint8)
        letters = np.frombuffer(ALPHABETS[self.modality].canonical.encode(), np.uint8)
        canonical = np.flatnonzero(np.isin(residues, letters))
        if not len(canonical):
            return np.empty((self.n_masks, 0), dtype=np.int64)
        count = max(1, round(self.fraction * len(canonical)))
        chosen = seeded_subsets(
            len(canonical), count, self.n_masks, self.seed, "heldout_mask", seq_id
        )
        return canonical[chosen]

    def questions(self, sequences: pl.DataFrame) -> Questions:
        """What every model is asked about held-out sequences.

        Args:
            sequences: columns set, seq_id, sequence of `corpus.tables.HELD_OUT`.

        Raises:
            HeldOutError: there are no sequences, or a set has none with a canonical residue.
        """
        columns = sequences.select("sequence", "seq_id").iter_rows()
        places = [self.places(sequence, seq_id) for sequence, seq_id in columns]
        asked = [found.shape[1] > 0 for found in places]
        rows = sequences.filter(pl.Series(asked, dtype=pl.Boolean))
        empty = sorted(set(sequences["set"]) - set(rows["set"]))
        if empty or not rows.height:
            named = f"set {', '.join(empty)}" if empty else "no set at all"
            raise HeldOutError(f"{named}: no held-out sequence with a canonical residue")
        return Questions(rows, [found for found in places if found.size], sequences.height)
