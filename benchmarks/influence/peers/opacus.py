"""opacus: per-sample gradients of GradSampleModule, squared and weighted as ours are."""

from collections.abc import Callable

import numpy as np
import torch
from opacus import GradSampleModule
from workload import Workload, diagonal_inverse, mean_losses, peer_rows


def prepare(workload: Workload, parameters: str, loss: str) -> Callable[[], np.ndarray]:
    rows = peer_rows(workload, parameters)
    wrapped = GradSampleModule(rows.model, loss_reduction="sum", strict=False)
    wrapped.train()  # opacus records nothing in eval mode; the checkpoint has no dropout

    def gradients(ids: torch.Tensor, attention: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = wrapped(input_ids=ids, attention_mask=attention).logits
        mean_losses(logits, ids, attention).sum().backward()
        parts = {name: rows.model.get_parameter(name).grad_sample for name in rows.names}
        wrapped.zero_grad(set_to_none=True)
        return parts

    squares = {name: torch.zeros_like(weight) for name, weight in rows.weights().items()}
    for batch in rows.subset:
        for name, g in gradients(*batch).items():
            squares[name] += g.square().sum(0)
    inverse = diagonal_inverse(squares, workload.subset)

    def run() -> np.ndarray:
        scores = []
        for batch in rows.batches:
            parts = gradients(*batch)
            scores.append(sum((g.square_() * inverse[n]).sum((1, 2)) for n, g in parts.items()))
        return rows.in_order(scores)

    return run
