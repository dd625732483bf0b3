"""AdamW is torch.optim.AdamW, bit for bit."""

import torch
from coresift.training.optimizer import AdamW
from torch import nn


def groups(model):
    return [
        {"params": [p for p in model.parameters() if p.ndim == 2], "lr": 0, "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "lr": 0, "weight_decay": 0.0},
    ]


def train(make, again=None):
    """Weights and state after six steps; `again` remakes the optimiser after the third."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3), nn.Linear(3, 2))
    optimizer = make(model)
    for step in range(6):
        if step == 3 and again is not None:
            state = optimizer.state_dict()
            optimizer = again(model)
            optimizer.load_state_dict(
                {"state": state["state"], "param_groups": optimizer.state_dict()["param_groups"]}
            )
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (step + 1)
        # The last layer has no gradient in the first steps.
        used = model if step > 1 else model[:3]
        used(torch.randn(4, 5)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return [*model.parameters()], optimizer.state_dict()["state"]


def test_weights_and_state_are_those_of_torch():
    weights, state = train(lambda m: torch.optim.AdamW(groups(m), betas=(0.9, 0.98)))

    def ours(model):
        return AdamW(groups(model), betas=(0.9, 0.98))

    for again in (None, ours):
        here, found = train(ours, again)
        assert all(torch.equal(a, b) for a, b in zip(weights, here, strict=True))
        assert set(found) == set(state)
        for i, values in state.items():
            assert set(found[i]) == set(values)
            assert all(torch.equal(found[i][name], value) for name, value in values.items())
