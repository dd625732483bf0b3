"""The precision of forward passes."""

from __future__ import annotations

import torch


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context: bf16 where the precision is that, otherwise the weights' own."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
