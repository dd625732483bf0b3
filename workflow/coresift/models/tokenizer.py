"""Tokenizers: one saved with every checkpoint, and a fast array encoder that agrees with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from coresift.alphabet import ALPHABETS, SPECIAL
from coresift.hashing import content_hash

#: More unknown residues than this and the vocabulary is the wrong one (DESIGN section 8).
MAX_UNKNOWN_FRACTION = 0.01

#: What does a special token's work where a tokenizer has none of its name (BERT's layouts).
STAND_INS = {"eos_token": "sep_token", "cls_token": "bos_token"}


class VocabularyError(ValueError):
    """The checkpoint's vocabulary does not fit the modality."""


def build_tokenizer(modality: str, max_tokens: int) -> PreTrainedTokenizerFast:
    """A tokenizer of one token a residue, `<cls> sequence <eos>`, for `AutoTokenizer` to load."""
    vocabulary = {token: i for i, token in enumerate(ALPHABETS[modality].vocabulary)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = Split(Regex("."), behavior="isolated")
    cls, eos = SPECIAL["cls_token"], SPECIAL["eos_token"]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{cls} $A {eos}",
        pair=f"{cls} $A {eos} $B {eos}",
        special_tokens=[(cls, vocabulary[cls]), (eos, vocabulary[eos])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=max_tokens, **SPECIAL
    )


@dataclass(frozen=True)
class Encoder:
    """Sequence -> token ids by one table look-up a residue.

    Attributes:
        table: (256,) int64, token id of each byte; unknown letters have `unk_id`.
        letter_ids: ids of the canonical residues, the pool of random replacements in MLM.
        max_tokens: longest input, special tokens included; longer is cropped at the end.
    """

    table: np.ndarray
    cls_id: int
    eos_id: int
    pad_id: int
    unk_id: int
    mask_id: int
    letter_ids: np.ndarray
    max_tokens: int

    @classmethod
    def from_tokenizer(
        cls, tokenizer: Any, modality: str, max_tokens: int | None = None
    ) -> Encoder:
        """Read the ids by token name from a checkpoint's own tokenizer.

        RNA letters missing from a T vocabulary (BEACON's, RiNALMo's) take the id of T for U; [SEP]
        ends a sequence where there is no eos token, and bos starts it where there is no cls token.

        Args:
            max_tokens: longest input; None for the tokenizer's own `model_max_length`.

        Raises:
            VocabularyError: a special token or a canonical residue has no id.
        """
        known = tokenizer.get_vocab()
        alphabet = ALPHABETS[modality]
        if alphabet.foreign and set(alphabet.foreign) <= set(known):
            raise VocabularyError(
                f"the checkpoint's vocabulary looks like another modality's than {modality}: "
                f"it has the tokens {', '.join(alphabet.foreign)}"
            )
        special = {}
        for name in SPECIAL:
            token = getattr(tokenizer, name)
            if token is None and name in STAND_INS:
                token = getattr(tokenizer, STAND_INS[name])
            if token is None or token not in known:
                names = " or ".join((name, *filter(None, [STAND_INS.get(name)])))
                raise VocabularyError(f"the checkpoint's tokenizer has no {names}")
            special[name.removesuffix("_token")] = known[token]
        synonyms = {"U": "T"} if modality == "rna" else {}
        table = np.full(256, special["unk"], dtype=np.int64)
        missing = []
        for letter in alphabet.letters:
            token = letter if letter in known else synonyms.get(letter, letter)
            if token in known:
                table[ord(letter)] = known[token]
            elif letter in alphabet.canonical:
                missing.append(letter)
        if missing:
            raise VocabularyError(
                f"the checkpoint's vocabulary has no token for {', '.join(missing)}; "
                f"is it a {modality} model? Its tokens: {' '.join(sorted(known))[:200]}"
            )
        letters = np.array([table[ord(letter)] for letter in alphabet.canonical])
        return cls(
            table,
            special["cls"],
            special["eos"],
            special["pad"],
            special["unk"],
            special["mask"],
            letters,
            int(tokenizer.model_max_length) if max_tokens is None else max_tokens,
        )

    @property
    def largest_id(self) -> int:
        """The largest id that `encode` and masking can give."""
        special = (self.cls_id, self.eos_id, self.pad_id, self.unk_id, self.mask_id)
        return max(*special, int(self.table.max()))

    @property
    def digest(self) -> str:
        """Hash of the table and the ids: what sequences that are not cropped become."""
        values = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in vars(self).items()}
        return content_hash({**values, "max_tokens": None})

    def encode(self, sequence: str) -> np.ndarray:
        """Token ids `<cls> residues <eos>`, int64, at most `max_tokens` long."""
        residues = np.frombuffer(sequence[: self.max_tokens - 2].encode("latin-1"), np.uint8)
        return np.concatenate(([self.cls_id], self.table[residues], [self.eos_id]))

    def is_canonical(self, ids: np.ndarray) -> np.ndarray:
        """Whether a token is a canonical residue: no ambiguity code, unknown or special token."""
        return np.isin(ids, self.letter_ids)

    def check_unknown(self, sequences: Sequence[str]) -> None:
        """Hold the share of unknown residues to `MAX_UNKNOWN_FRACTION`.

        Raises:
            VocabularyError: too many residues have no token (a silent T/U mix-up, for instance).
        """
        counts = np.zeros(256, dtype=np.int64)
        for sequence in sequences:
            counts += np.bincount(np.frombuffer(sequence.encode("latin-1"), np.uint8), None, 256)
        unknown = np.where(self.table == self.unk_id, counts, 0)
        if unknown.sum() > MAX_UNKNOWN_FRACTION * max(1, counts.sum()):
            letters = "".join(chr(i) for i in np.argsort(-unknown)[:5] if unknown[i])
            raise VocabularyError(
                f"{unknown.sum() / counts.sum():.1%} of residues have no token in the "
                f"checkpoint's vocabulary (most: {letters}); limit {MAX_UNKNOWN_FRACTION:.0%}"
            )
