"""Hidden states of sequences: from the encoder, and stored on disk for a frozen one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from coresift.files import read_tensors, write_tensors
from coresift.hashing import content_hash
from coresift.models.batching import pad, token_budget_batches
from coresift.models.checkpoint import architecture_hash, machine
from coresift.models.cropping import room_of
from coresift.models.precision import autocast
from coresift.models.tokenizer import Encoder

logger = logging.getLogger(__name__)

#: Tokens of one file of stored states: what a killed job loses.
FILE_TOKENS = 1 << 17
POOLED = ("cls", "mean")


class EncoderStates(nn.Module):
    """Feature rows of sequences from an encoder's last hidden states.

    Attributes:
        form: `tokens` (every token's state), `residues` (without <cls> and <eos>), `cls`, or
            `mean` (over residues).
        room: residues read, the model's and `max_tokens` less <cls> and <eos>.
    """

    def __init__(self, model: nn.Module, encoder: Encoder, form: str, max_tokens: int) -> None:
        super().__init__()
        self.model = model
        self.encoder = encoder
        self.form = form
        self.room = room_of(encoder, max_tokens)

    def hidden(self, sequences: Sequence[str]) -> list[torch.Tensor]:
        """One (tokens, hidden) tensor a sequence, cropped to the model's input."""
        rows = [self.encoder.encode(s[: self.room]) for s in sequences]
        ids, attention = pad(rows, self.encoder.pad_id)
        device = next(self.model.parameters()).device
        states = self.model(
            input_ids=ids.to(device), attention_mask=attention.to(device)
        ).last_hidden_state
        return [states[i, : len(row)] for i, row in enumerate(rows)]

    def forward(self, sequences: Sequence[str]) -> list[torch.Tensor]:
        """One (rows, hidden) tensor a sequence, in the wanted form."""
        return [shaped(states, self.form) for states in self.hidden(sequences)]


def shaped(states: torch.Tensor, form: str) -> torch.Tensor:
    """(tokens, hidden) states in one of the forms of `EncoderStates`."""
    if form == "tokens":
        return states
    if form == "cls":
        return states[:1]
    inner = states[1:-1]
    return inner if form == "residues" else inner.mean(0, keepdim=True)


def _stored_ends(path: Path) -> list[int] | None:
    """End of each sequence's rows in a file of states; None where it must be made."""
    if not path.is_file():
        return None
    try:
        tensors, _ = read_tensors(path)
    except ValueError as error:
        logger.warning("made again: %s", error)
        return None
    return tensors["ends"].tolist()


class StoredStates:
    """States of a frozen encoder, computed once and kept in a folder for every task and seed.

    A file holds the states of a set of sequences; its name is the hash of the model, of the
    sequences and of all that decides the bits, so tasks with the same sequences share it, and
    jobs may write at once: they write the same bytes. Pooled forms store <cls> and mean (float32)
    and share; forms by residue store every token (float16) and share. States by residue are read
    when asked for. A damaged file is made again; the folder can be deleted at any time.

    Attributes:
        pooled: whether there is one state a sequence.
        n_encoded: sequences that were not in the folder.
    """

    def __init__(
        self,
        states: EncoderStates,
        digest: str,
        folder: str | Path,
        tokens_per_batch: int,
        sequences: Sequence[str],
        precision: str = "float32",
    ) -> None:
        self._form = states.form
        self.pooled = states.form in POOLED
        cropped = [s[: states.room] for s in sequences]
        distinct = sorted(set(cropped), key=lambda s: (len(s), s))
        files = np.cumsum([len(s) + 2 for s in distinct]) // FILE_TOKENS
        self._slices: list[Any] = []
        place: dict[str, tuple[int, int, int]] = {}
        encoded = 0
        device = next(states.parameters()).device
        bits = [
            *(digest, architecture_hash(states.model), states.encoder.digest),
            *(machine(device, __file__), tokens_per_batch, self.pooled, precision),
        ]
        for number in np.unique(files):
            part = [distinct[i] for i in np.flatnonzero(files == number)]
            path = Path(folder) / f"{content_hash([*bits, part])}.safetensors"
            ends = _stored_ends(path)
            if ends is None:
                tensors = self._encode(states, part, tokens_per_batch, precision)
                write_tensors(path, tensors, {"model": digest})
                ends = tensors["ends"].tolist()
                encoded += len(part)
                logger.info("encoded %d of %d sequences", encoded, len(distinct))
            handle = safe_open(str(path), framework="pt")
            for s, start, end in zip(part, [0, *ends[:-1]], ends, strict=True):
                place[s] = (len(self._slices), start, end)
            self._slices.append(handle.get_slice("states"))
        self._places = [place[s] for s in cropped]
        self.n_encoded = encoded

    @torch.no_grad()
    def _encode(
        self, states: EncoderStates, sequences: list[str], tokens_per_batch: int, precision: str
    ) -> dict[str, torch.Tensor]:
        states.eval()
        device = next(states.parameters()).device
        found: dict[int, torch.Tensor] = {}
        for batch in token_budget_batches([len(s) + 2 for s in sequences], tokens_per_batch):
            with autocast(device, precision):
                hidden = states.hidden([sequences[i] for i in batch])
            for i, tokens in zip(batch, hidden, strict=True):
                pooled = [shaped(tokens.float(), form) for form in POOLED]
                found[int(i)] = torch.cat(pooled).cpu() if self.pooled else tokens.half().cpu()
        rows = [found[i] for i in range(len(sequences))]
        ends = torch.tensor([len(row) for row in rows]).cumsum(0)
        return {"states": torch.cat(rows), "ends": ends}

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> torch.Tensor:
        """(rows, hidden) float32 states of a sequence, in the wanted form."""
        file, start, end = self._places[index]
        stored = self._slices[file][start:end].float()
        if self.pooled:
            return stored[POOLED.index(self._form)].unsqueeze(0)
        return shaped(stored, self._form)
