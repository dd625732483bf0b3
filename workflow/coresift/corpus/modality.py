"""Records of the wrong modality: nucleotides given as proteins, and proteins given as RNA.

The share of ACGTUN among a record's letters tells them apart: of 103,000 real proteins of 20
residues or more (proteomes, UniProt) none is above 0.70, of 282,000 real RNAs (Rfam, SILVA,
GENCODE, tRNA, miRNA) none below 0.84, ambiguity codes included.
"""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np

NUCLEOTIDES = b"ACGTUN"
#: All letters that a nucleotide may have, IUPAC's codes for several included.
CODES = NUCLEOTIDES + b"RYKMSWBDHVX"
#: A record of this many letters or more is judged; in shorter ones the shares overlap.
MIN_LETTERS = 20
#: Nucleotides have at least this share of ACGTUN, proteins less than the other.
NUCLEOTIDE_SHARE, PROTEIN_SHARE = 0.9, 0.75
#: A file with this share of records of the wrong modality is warned of.
WARNED_SHARE = 0.01
#: With this share, and this many letters in them, it is refused.
REFUSED_SHARE, REFUSED_LETTERS = 0.9, 1000
#: What the other modality's records look like.
OTHER = {"protein": "nucleotides", "rna": "proteins"}
_NO_LETTERS = bytes(c for c in range(256) if chr(c) not in string.ascii_letters)


def is_other(sequence: str, modality: str) -> bool:
    """Whether a normalised sequence looks like the other modality's."""
    letters = sequence.encode("ascii").translate(None, _NO_LETTERS)
    if len(letters) < MIN_LETTERS:
        return False
    share = 1 - len(letters.translate(None, NUCLEOTIDES)) / len(letters)
    if modality == "protein":
        return share >= NUCLEOTIDE_SHARE
    return share < PROTEIN_SHARE and bool(letters.translate(None, CODES))


class Others:
    """Counts the records of a file that look like the other modality's."""

    def __init__(self, modality: str) -> None:
        self._modality = modality
        self._records = self._letters = 0

    def see(self, sequence: str) -> None:
        """Count a normalised sequence if it `is_other`."""
        if is_other(sequence, self._modality):
            self._records += 1
            self._letters += len(sequence)

    def judge(self, path: str | Path, records: int) -> tuple[str, bool]:
        """What is to be said of the file, "" where they are few, and whether it is refused.

        Args:
            records: all records of the file.
        """
        share = self._records / max(1, records)
        if share < WARNED_SHARE:
            return "", False
        text = (
            f"{path}: {self._records} of {records} records ({share:.1%}) look like "
            f"{OTHER[self._modality]}; modality is {self._modality}"
        )
        return text, share >= REFUSED_SHARE and self._letters >= REFUSED_LETTERS


def unclear(highest: np.ndarray, long: np.ndarray, modality: str) -> np.ndarray:
    """(n,) bool: which records with canonical letters only may be of the other modality.

    Nearly every protein has V, W or Y, which no nucleotide has but as a code; and what is long has
    codes more often. Proteins given as RNA have foreign letters, and so none is meant here.

    Args:
        highest: (n,) uint8 highest byte of each record.
        long: (n,) bool, records that are above the greatest length.
    """
    if modality == "protein":
        return (highest <= ord("U")) | long
    return np.zeros_like(long)
