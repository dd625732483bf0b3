"""The published method, literally: vmap(jacrev) of lm_head.dense.weight, padded to 1024.

No attention mask, padding counted in the loss, damping 1e-8 (FACTS of the reference code; the same
lines stand in tests/influence). Its batches of 20 do not fit here beside the model's activations
at 1024 tokens; `chunk_size` changes no score.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from workload import Workload, mixture

NAME = "lm_head.dense.weight"


def prepare(workload: Workload, parameters: str, loss: str) -> Callable[[], np.ndarray]:
    engine = workload.engine("head")
    weights = dict(engine.model.named_parameters())
    rest = {name: p.detach() for name, p in weights.items() if name != NAME}
    weight = weights[NAME].detach()

    def padded(sequences: list[str]) -> torch.Tensor:
        ids = torch.full((len(sequences), 1024), engine.encoder.pad_id)
        for i, sequence in enumerate(sequences):
            tokens = torch.from_numpy(engine.encoder.encode(sequence))
            ids[i, : len(tokens)] = tokens
        return ids

    def one(scored: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        arguments = {"input_ids": row[None]}
        with sdpa_kernel(SDPBackend.MATH):
            logits = functional_call(engine.model, {**rest, NAME: scored}, (), arguments).logits
        return F.cross_entropy(logits[0], row)

    gradients = vmap(jacrev(one), in_dims=(None, 0), chunk_size=2)
    frame = workload.frame()
    subset = padded(mixture(frame, workload.subset)["sequence"].to_list())
    inverse = 1 / (gradients(weight, subset).square().mean(0) + 1e-8)
    ids = padded(frame["sequence"].to_list())

    def run() -> np.ndarray:
        scores = [
            (gradients(weight, ids[i : i + 20]).square() * inverse).sum((1, 2))
            for i in range(0, len(ids), 20)
        ]
        return torch.cat(scores).double().numpy()

    return run
