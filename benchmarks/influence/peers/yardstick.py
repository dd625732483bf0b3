"""One plain forward, or one plain forward and backward, over the same batches.

No optimiser, no dropout, no clipping: the least that a training step can cost.
"""

from collections.abc import Callable

import torch
from workload import Workload, mean_losses, peer_rows


def prepare(workload: Workload, parameters: str, loss: str) -> Callable[[], None]:
    rows = peer_rows(workload, "head")
    train = parameters == "all"
    rows.model.requires_grad_(train)

    def run(batches: list[tuple[torch.Tensor, torch.Tensor]] = rows.batches) -> None:
        for ids, attention in batches:
            with torch.set_grad_enabled(train):
                logits = rows.model(input_ids=ids, attention_mask=attention).logits
                total = mean_losses(logits, ids, attention).sum()
            if train:
                total.backward()
                rows.model.zero_grad(set_to_none=True)

    run(rows.subset)  # warm
    return run
