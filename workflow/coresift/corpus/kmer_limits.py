"""From which k-mers on a pool sequence counts as a leak, by modality.

benchmarks/leakage has the tables that the numbers were chosen by, docs/corpus.md what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KmerLimits:
    """A pool sequence is a leak if it and an example share enough k-mers.

    Attributes:
        k: residues of a k-mer.
        containment: share of the distinct k-mers of the shorter of the two.
        match: residues that the least shared k-mers would make in one piece; less is found by
            chance in a pool of some 1e10 residues.
    """

    k: int
    containment: float
    match: int

    @property
    def least(self) -> int:
        """K-mers that must be shared whatever the containment."""
        return max(self.match - self.k + 1, 1)

    @property
    def half_found(self) -> float:
        """Identity at which substitutions leave `containment` of the k-mers: half are found.

        A k-mer is left with probability identity^k (Mash: Ondov et al. 2016, eq. 2).
        """
        return self.containment ** (1 / self.k)


#: The defaults.
KMER_LIMITS = {
    "rna": KmerLimits(k=9, containment=0.15, match=19),
    "protein": KmerLimits(k=5, containment=0.25, match=8),
}
#: Identity from which on at least 95 % of mutants are found by the defaults: of examples of 100
#: residues or more, of shorter ones (30 residues or more).
FOUND = {"rna": (0.87, 0.95), "protein": (0.8, 0.82)}
