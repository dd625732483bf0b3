"""Frequencies of k-mers: what stands for a partner that the encoder cannot read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

#: Amino acids by dipole and side-chain volume (Shen et al. 2007, the conjoint triad).
TRIAD_CLASSES = ("AGV", "ILFP", "YMTS", "HNQW", "RK", "DE", "C")
_PROTEIN = {ord(letter): str(i) for i, group in enumerate(TRIAD_CLASSES) for letter in group}


def kmer_frequencies(sequences: Sequence[str], modality: str) -> np.ndarray:
    """(n, features) float32 share of each k-mer among a sequence's.

    Protein: 3-mers of the 7 conjoint-triad classes (343); RNA: 4-mers (256). k-mers with other
    letters are left out.
    """
    from sklearn.feature_extraction.text import CountVectorizer  # few tasks have such a partner

    if modality == "protein":
        letters, size = "0123456", 3
        texts = [s.translate(_PROTEIN) for s in sequences]
    else:
        letters, size = "ACGU", 4
        texts = list(sequences)
    vocabulary = ["".join(word) for word in product(letters, repeat=size)]
    counter = CountVectorizer(
        analyzer="char", ngram_range=(size, size), lowercase=False, vocabulary=vocabulary
    )
    counts = counter.transform(texts).toarray().astype(np.float32)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)
