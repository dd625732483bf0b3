"""torch.func: vmap(grad) of the scored weights, padded to the longest of a batch."""

from collections.abc import Callable

import numpy as np
import torch
from torch.func import functional_call, grad, vmap
from workload import Workload, allow_vmap, diagonal_inverse, mean_losses, peer_rows


def prepare(workload: Workload, parameters: str, loss: str) -> Callable[[], np.ndarray]:
    allow_vmap()
    rows = peer_rows(workload, parameters)
    weights = rows.weights()
    fixed = {n: p.detach() for n, p in rows.model.named_parameters() if n not in weights}

    def one(scored: dict[str, torch.Tensor], ids: torch.Tensor, attention: torch.Tensor):
        arguments = {"input_ids": ids[None], "attention_mask": attention[None]}
        logits = functional_call(rows.model, {**fixed, **scored}, (), arguments).logits
        return mean_losses(logits, ids[None], attention[None])[0]

    gradients = vmap(grad(one), in_dims=(None, 0, 0))
    squares = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for ids, attention in rows.subset:
        for name, g in gradients(weights, ids, attention).items():
            squares[name] += g.square().sum(0)
    inverse = diagonal_inverse(squares, workload.subset)

    def run() -> np.ndarray:
        scores = []
        for ids, attention in rows.batches:
            parts = gradients(weights, ids, attention)
            scores.append(sum((g.square_() * inverse[n]).sum((1, 2)) for n, g in parts.items()))
        return rows.in_order(scores)

    return run
