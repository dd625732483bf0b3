"""Low complexity as the field masks it: DUST for RNA, tantan for proteins.

DUST (Morgulis et al. 2006, doi:10.1089/cmb.2006.13.1028) with its window of 64 and threshold of
20; tantan (Frith 2011, doi:10.1093/nar/gkq1212) with its defaults for proteins: BLOSUM62, residues
whose probability of being in a repeat is 0.5 or more.
"""

from __future__ import annotations

import string
from functools import cache
from typing import Any

from coresift.alphabet import ALPHABETS

WINDOW, THRESHOLD = 64, 20
#: DUST counts triplets of ACGT; shorter sequences have no repeat of one, and are refused.
_SHORTEST = 4
_UPPER = string.ascii_uppercase.encode()
_TO_DNA, _TO_RNA = str.maketrans("U", "T"), str.maketrans("Tt", "Uu")


def soft_masked(sequence: str, modality: str) -> str:
    """A normalised sequence with its residues of low complexity in lower case."""
    if modality == "protein":
        return str(_tantan().mask_repeats(sequence))
    if len(sequence) < _SHORTEST:
        return sequence
    from pydustmasker import DustMasker

    # To DUST, U is no base.
    masked = DustMasker(sequence.translate(_TO_DNA), WINDOW, THRESHOLD).mask()
    return str(masked.translate(_TO_RNA))


@cache
def _tantan() -> Any:
    from pytantan import RepeatFinder, default_scoring_matrix

    return RepeatFinder(default_scoring_matrix(protein=True), protein=True)


def n_masked(soft: str) -> int:
    """Residues in lower case."""
    return len(soft.encode("ascii").translate(None, _UPPER))


def hard_masked(soft: str, modality: str) -> str:
    """The unknown letter for every residue in lower case."""
    lower = string.ascii_lowercase
    return soft.translate(str.maketrans(lower, ALPHABETS[modality].unknown * len(lower)))
