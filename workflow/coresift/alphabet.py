"""Alphabets of the two modalities: letters, ambiguity codes and model vocabularies.

A modality is data, not a fork of the code: every stage asks this table.
"""

from __future__ import annotations

from dataclasses import dataclass

SPECIAL = {
    "cls_token": "<cls>",
    "pad_token": "<pad>",
    "eos_token": "<eos>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


@dataclass(frozen=True)
class Alphabet:
    """Letters of one modality.

    Attributes:
        canonical: residues that carry information, e.g. ACGU.
        ambiguous: codes that stand for several residues; allowed up to a fraction.
        unknown: the code that stands for any residue.
        complements: two letters that can pair.
        replace: normalisation after upper-casing, letter by letter (T -> U for RNA).
        trailing: letters dropped from the end of a record (a protein's stop).
        foreign: letters that only another modality's model has as tokens.
        composition: letters whose share describes a sequence's composition: GC, or the
            hydrophobic residues of a protein (Kyte-Doolittle above 0).
        composition_name: what that share is called.
        vocabulary: tokens in id order, for models made here (RNA-FM's and ESM-2's orders).
    """

    canonical: str
    ambiguous: str
    unknown: str
    complements: tuple[str, ...]
    replace: dict[str, str]
    trailing: str
    foreign: str
    composition: str
    composition_name: str
    vocabulary: tuple[str, ...]

    @property
    def letters(self) -> str:
        """Every letter a normalised sequence may hold."""
        return self.canonical + self.ambiguous


ALPHABETS: dict[str, Alphabet] = {
    "rna": Alphabet(
        canonical="ACGU",
        ambiguous="RYKMSWBDHVN",
        unknown="N",
        complements=("AU", "UA", "GC", "CG", "GU", "UG"),
        replace={"T": "U", "X": "N"},
        trailing="",
        foreign="EFLPQ",
        composition="GC",
        composition_name="GC share",
        # Order of RNA-FM's own alphabet (ml4bio/RNA-FM, "roberta_large", 25 tokens).
        vocabulary=(
            *("<cls>", "<pad>", "<eos>", "<unk>"),
            *"ACGURYKMSWBDHVN-",
            *("<null_1>", "<null_2>", "<null_3>", "<null_4>", "<mask>"),
        ),
    ),
    "protein": Alphabet(
        canonical="ACDEFGHIKLMNPQRSTVWY",
        ambiguous="XBZUO",
        unknown="X",
        complements=(),
        replace={"J": "X"},
        trailing="*",
        foreign="",
        composition="ACFILMV",
        composition_name="hydrophobic share",
        # Order of ESM-2's alphabet (33 tokens). J is not in it and becomes X.
        vocabulary=(
            *("<cls>", "<pad>", "<eos>", "<unk>"),
            *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
            *("<null_1>", "<mask>"),
        ),
    ),
}
