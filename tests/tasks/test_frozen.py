"""Stored states as a head reads them: whitened where there is one a sequence."""

import numpy as np
import pytest
import torch
from coresift.tasks.frozen import frozen_features, whitening
from torch.nn import functional as F


class States:
    """Stands for `StoredStates`."""

    def __init__(self, rows, pooled):
        self.rows, self.pooled = rows, pooled

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def collinear(n, width=12, seed=0):
    """(n, width) rows of which one direction has nearly all of the variance."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, width)) * 0.01 + rng.normal(size=(n, 1)) * rng.normal(size=width)
    return rows + 5


def read(rows, train, pooled=True):
    states = States([torch.from_numpy(row)[None].float() for row in rows], pooled)
    found = frozen_features(states, train, torch.device("cpu"))
    return torch.cat(found(np.arange(len(rows)))).double().numpy()


def test_the_train_rows_of_pooled_states_have_no_correlation_left():
    rows = collinear(4000)
    train = np.arange(3000)
    spread = {}
    for pooled in (True, False):
        found = read(rows, train, pooled)[train]
        np.testing.assert_allclose(found.mean(0), 0, atol=1e-3)
        values = np.linalg.eigvalsh(np.cov(found.T))
        spread[pooled] = values[-1] / values[0]
    # What is left is what the covariance is shrunk by; states by residue are standardised alone.
    assert spread[True] < 30
    assert spread[False] > 10_000


def test_the_optimum_of_a_linear_head_is_the_same():
    rows, train = collinear(500), np.arange(400)
    y = rows @ np.linspace(-1, 1, rows.shape[1])
    fits = []
    for pooled in (True, False):
        x = np.c_[read(rows, train, pooled), np.ones(len(rows))]
        fits.append(x @ np.linalg.lstsq(x[train], y[train], rcond=None)[0])
    np.testing.assert_allclose(fits[0], fits[1], atol=1e-3)
    np.testing.assert_allclose(fits[0], y, atol=1e-3)


def test_gradient_steps_reach_it_where_states_are_whitened():
    rows, train = collinear(1000), np.arange(800)
    short = np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][1]
    side = rows @ short
    label = torch.from_numpy(side > np.median(side)).long()
    right = {}
    for pooled in (True, False):
        x = torch.from_numpy(read(rows, train, pooled)).float()
        torch.manual_seed(0)
        head = torch.nn.Linear(x.shape[1], 2)
        optimizer = torch.optim.AdamW(head.parameters(), lr=5e-3)
        for _ in range(300):
            optimizer.zero_grad()
            F.cross_entropy(head(x[train]), label[train]).backward()
            optimizer.step()
        right[pooled] = float((head(x[800:]).argmax(1) == label[800:]).float().mean())
    assert right[True] > right[False] + 0.1
    assert right[True] > 0.8


@pytest.mark.parametrize(("n", "least", "most"), [(20, 0, 40), (20_000, 300, np.inf)])
def test_directions_that_few_rows_tell_of_are_not_blown_up(n, least, most):
    rows = collinear(n, 64)
    standard = (rows - rows.mean(0)) / rows.std(0)
    scales = np.linalg.svd(whitening(standard), compute_uv=False)
    assert least < scales.max() / scales.min() < most


def test_whitening_hangs_on_no_basis_of_equal_eigenvalues():
    rows = collinear(30, 64)  # fewer rows than features: 35 directions of which nothing is known
    standard = (rows - rows.mean(0)) / rows.std(0)
    turn = whitening(standard)
    np.testing.assert_allclose(turn, turn.T, atol=1e-12)
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(64, 64)))[0]
    # Of rows that are turned it is the turned one: a choice of eigenvectors would not cancel.
    np.testing.assert_allclose(whitening(standard @ basis), basis.T @ turn @ basis, atol=1e-8)


def test_states_that_are_all_the_same_are_none():
    assert not read(np.ones((5, 3)), np.arange(4)).any()
