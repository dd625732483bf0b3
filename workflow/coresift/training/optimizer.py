"""AdamW by torch's functional form.

The classes of torch.optim import torch._dynamo when one is made, as long as torch itself takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim.adamw import adamw


class AdamW:
    """`torch.optim.AdamW`, bit for bit, with the methods that a loop needs.

    Args:
        param_groups: each with `params`, `lr` and `weight_decay`.

    Attributes:
        param_groups: what was given; a loop sets `lr`.
        state: moments and steps by number of the parameter, from its first step on.
    """

    def __init__(
        self, param_groups: list[dict[str, Any]], betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        self.param_groups = [{**group, "params": list(group["params"])} for group in param_groups]
        self.betas = betas
        self.state: dict[int, dict[str, torch.Tensor]] = {}

    @property
    def _parameters(self) -> list[torch.Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        first = 0
        for group in self.param_groups:
            numbered = enumerate(group["params"], start=first)
            found = [(i, p) for i, p in numbered if p.grad is not None]
            first += len(group["params"])
            for i, p in found:
                if i not in self.state:
                    self.state[i] = {
                        "step": torch.tensor(0.0),
                        "exp_avg": torch.zeros_like(p),
                        "exp_avg_sq": torch.zeros_like(p),
                    }
            if not found:
                continue
            state: Sequence[dict[str, torch.Tensor]] = [self.state[i] for i, _ in found]
            adamw(
                [p for _, p in found],
                [p.grad for _, p in found],
                [s["exp_avg"] for s in state],
                [s["exp_avg_sq"] for s in state],
                [],
                [s["step"] for s in state],
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=1e-8,
                maximize=False,
            )

    def state_dict(self) -> dict[str, Any]:
        """`state` and `param_groups`, as in torch."""
        return {"state": self.state, "param_groups": self.param_groups}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Take over moments and steps, onto the devices of the parameters."""
        parameters = self._parameters
        self.state = {
            i: {
                name: t if name == "step" else t.to(parameters[i].device)
                for name, t in state.items()
            }
            for i, state in values["state"].items()
        }
