"""What a masked language model makes of masked letters, comparable between vocabularies."""

from __future__ import annotations

import torch


def letter_losses(
    logits: torch.Tensor, targets: torch.Tensor, letter_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and hit of each masked place, given that what stands there is a canonical letter.

    The softmax is over the canonical letters, not the vocabulary: -log p(letter) + log p(some
    canonical letter). So models of 10 and of 25 tokens answer the same question, letter frequencies
    are a model of the same kind, and knowing nothing costs log 4 (RNA) or log 20 (protein) nats in
    each of them. What it leaves out, the mass on ambiguity codes and special tokens, is about the
    vocabulary and next to nothing after some training.

    Args:
        logits: (n, vocabulary). targets: (n,) int64, each one of `letter_ids`.
        letter_ids: (letters,) int64, tokens of the canonical letters.

    Returns:
        (n,) nats in float32 or wider, and (n,) whether the likeliest letter is the right one.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    letters = logits[:, letter_ids]
    losses = letters.logsumexp(1) - logits.gather(1, targets[:, None])[:, 0]
    return losses, letter_ids[letters.argmax(1)] == targets
