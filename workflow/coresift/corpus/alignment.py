"""Identity of two sequences by local alignment (Smith & Waterman 1981, affine gaps: Gotoh 1982)."""

from __future__ import annotations

import numpy as np
from Bio.Align import PairwiseAligner, substitution_matrices

from coresift.alphabet import ALPHABETS, Alphabet

#: Score of a gap's first residue and of each further one: BLAST's for BLOSUM62 (11 + 1 a residue),
#: and for RNA, with +5 and -4, FASTA's for nucleotides (12 + 4; Pearson & Lipman 1988).
_GAPS = {"protein": (-12, -1), "rna": (-16, -4)}
_MATCH, _MISMATCH = 5, -4


def _scores(modality: str, alphabet: Alphabet) -> substitution_matrices.Array:
    """Scores of all letters; of those that the matrix does not know 0."""
    if modality == "protein":
        return substitution_matrices.load("BLOSUM62").select(alphabet.letters)
    scores = substitution_matrices.Array(alphabet.letters, dims=2)
    for a in alphabet.canonical:
        for b in alphabet.canonical:
            scores[a, b] = _MATCH if a == b else _MISMATCH
    return scores


class Aligner:
    """Aligns sequences of one modality.

    Args:
        coverage: share of the shorter sequence that an alignment must span to count.
    """

    def __init__(self, modality: str, coverage: float) -> None:
        alphabet = ALPHABETS[modality]
        opened, extended = _GAPS[modality]
        self._known = np.isin(np.arange(256), list(alphabet.canonical.encode()))
        self._coverage = coverage
        self._aligner = PairwiseAligner(
            mode="local",
            substitution_matrix=_scores(modality, alphabet),
            open_gap_score=opened,
            extend_gap_score=extended,
        )

    def identity(self, a: str, b: str) -> float | None:
        """Identical canonical letters over the columns, gaps among them, of the best alignment.

        That is MMseqs2's `fident`. None if the alignment spans too little of both sequences. A
        sequence in the other one has identity 1 but for its ambiguous letters.
        """
        shorter, longer = sorted((a, b), key=len)
        if shorter in longer:
            known = self._known[np.frombuffer(shorter.encode(), np.uint8)]
            return float(known.mean())
        found = self._aligner.align(a, b)
        if not found.score > 0:
            return None
        places = found[0].coordinates
        spans = places[:, -1] - places[:, 0]
        if max(spans / (len(a), len(b))) < self._coverage:
            return None
        steps = np.diff(places, axis=1)
        letters = [np.frombuffer(s.encode(), np.uint8) for s in (a, b)]
        same = 0
        for (i, j), (n, m) in zip(places[:, :-1].T, steps.T, strict=True):
            if n and m:
                own = letters[0][i : i + n]
                same += int(((own == letters[1][j : j + n]) & self._known[own]).sum())
        return same / int(steps.max(0).sum())
