"""What a head reads of a frozen encoder: its stored states, on a scale that it can learn from."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf

from coresift.models.states import StoredStates
from coresift.tasks.probe import Features

#: Least variance of a direction that is scaled up to 1, as a share of the mean over directions.
_LEAST = 1e-6
#: Rows of train that the covariance is of, evenly spaced, and that are turned at once: memory.
_ROWS = 20_000


def frozen_features(stored: StoredStates, train: np.ndarray, device: torch.device) -> Features:
    """Stored states, standardised by the moments of train's rows; pooled ones whitened.

    Pooled states of one model are nearly collinear, those of a trained one more than those of an
    untrained one. A linear head reaches the same optimum on all of them, but by the optimiser's
    steps only where no direction is a hundred times as short as another: on states that are
    standardised alone its figures tell how collinear they are, not what they hold.

    Args:
        train: numbers of train's examples.
    """
    shift, scale = _moments(stored, train)

    def standardised(example: int) -> torch.Tensor:
        return (stored[example] - shift) / scale

    if not stored.pooled:
        return lambda batch: [standardised(i).to(device) for i in batch]
    rows = torch.cat([standardised(i) for i in range(len(stored))])
    some = train[np.linspace(0, len(train) - 1, min(len(train), _ROWS)).astype(np.int64)]
    turn = torch.from_numpy(whitening(rows[some].numpy())).to(rows.dtype)
    for part in rows.split(_ROWS):
        part.copy_(part @ turn)
    pooled = rows.to(device).split(1)
    return lambda batch: [pooled[i] for i in batch]


def _moments(stored: StoredStates, train: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """(features,) mean and standard deviation of train's rows, float32."""
    n, total, squares = 0, torch.zeros(()), torch.zeros(())
    for i in train:
        rows = stored[i].double()
        n, total, squares = n + len(rows), total + rows.sum(0), squares + rows.square().sum(0)
    mean = total / n
    std = (squares / n - mean.square()).clamp_min(0).sqrt().clamp_min(1e-6)
    return mean.float(), std.float()


def whitening(rows: np.ndarray) -> np.ndarray:
    """(features, features) float64 symmetric W such that the columns of rows @ W are uncorrelated.

    Their variances are 1 but for what the covariance is shrunk by, towards a multiple of the
    identity (Ledoit and Wolf 2004): with few rows for their width W is near a multiple of the
    identity, so that directions of which train says nothing are not blown up. The symmetric W (ZCA)
    hangs on no basis of equal eigenvalues, which another processor would choose otherwise.

    Args:
        rows: (rows, features), centred.
    """
    covariance, _ = ledoit_wolf(rows.astype(np.float64), assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    least = max(_LEAST * float(values.mean()), 1e-12)  # of states that are all the same
    turn: np.ndarray = (vectors / np.sqrt(np.maximum(values, least))) @ vectors.T
    return turn
