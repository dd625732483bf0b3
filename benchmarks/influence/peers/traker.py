"""traker: TRAK self-influence of the loss, BasicProjector (no compiled extension).

phi(z)^T (Phi^T Phi + ridge)^-1 phi(z) of 128 projected gradient dimensions. The ridge is a tenth
of the mean eigenvalue over D_sub: without one the matrix of a small sample is singular. TRAK
differentiates all parameters and then keeps those asked for.
"""

import logging
import tempfile
from collections.abc import Callable

import numpy as np
import torch
from torch.func import functional_call
from trak import TRAKer
from trak.modelout_functions import AbstractModelOutput
from workload import MAX_GRADIENTS, Workload, allow_vmap, mean_losses, peer_rows

DIMENSIONS = 128
#: Columns of the projection matrix BasicProjector holds at a time.
BLOCK = 100


class Loss(AbstractModelOutput):
    def __init__(self) -> None:
        pass

    @staticmethod
    def get_output(model, weights, buffers, ids, attention):
        arguments = {"input_ids": ids[None], "attention_mask": attention[None]}
        logits = functional_call(model, (weights, buffers), (), arguments).logits
        return mean_losses(logits, ids[None], attention[None])[0]

    @staticmethod
    def get_out_to_loss_grad(model, weights, buffers, batch):
        return torch.ones(len(batch[0]), 1)


def prepare(workload: Workload, parameters: str, loss: str) -> Callable[[], np.ndarray]:
    allow_vmap()
    rows = peer_rows(workload, parameters)
    size = sum(weight.numel() for weight in rows.weights().values())
    if size * BLOCK * 4 > 16 << 30:
        needed = size * BLOCK * 4e-9
        raise MemoryError(f"BasicProjector holds {size} x {BLOCK} float32, {needed:.0f} GB")
    rows.model.requires_grad_(True)
    most = max(1, MAX_GRADIENTS // sum(p.numel() for p in rows.model.parameters()))
    state = rows.model.state_dict()
    torch.cuda.empty_cache = lambda: None  # traker calls it on a CPU build as well

    def features(batches, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        traker = TRAKer(
            rows.model, Loss(), sum(len(ids) for ids, _ in batches), tempfile.mkdtemp(),
            load_from_save_dir=False, device="cpu", proj_dim=DIMENSIONS, use_half_precision=False,
            grad_wrt=rows.names, lambda_reg=ridge, logging_level=logging.ERROR,
        )  # fmt: skip
        traker.load_checkpoint(state, model_id=0)
        for ids, attention in batches:
            for i in range(0, len(ids), most):
                batch = (ids[i : i + most], attention[i : i + most])
                traker.featurize(batch, num_samples=len(batch[0]))
        traker.finalize_features()
        store = traker.saver.current_store
        return np.array(store["grads"]), np.array(store["features"])

    gradients, _ = features(rows.subset, 1.0)
    ridge = 0.1 * float(np.square(gradients).sum()) / DIMENSIONS * workload.n / workload.subset

    def run() -> np.ndarray:
        projected, solved = features(rows.batches, ridge)
        return rows.in_order([torch.from_numpy((projected * solved).sum(1))])

    return run
