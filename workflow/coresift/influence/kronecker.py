"""K-FAC and EK-FAC: a layer's Fisher as a Kronecker product, or diagonal in its eigenbasis.

For G_b = sum_t dy_t x_t^T (d_out, d_in) of a sequence b of D_sub, with tokens of a layer taken as
independent (Martens & Grosse 2015, arXiv 1503.05671; the `expand` form of Eschenhagen et al. 2023,
arXiv 2311.00636):

    F = E[vec G vec G^T] ~ S (x) A,   A = mean over tokens of x x^T,
                                      S = mean over sequences of sum_t dy_t dy_t^T.

With A = Q_A diag(a) Q_A^T and S = Q_S diag(s) Q_S^T, S (x) A has eigenvalues s_i a_j, so that

    g^T (S (x) A + damping)^-1 g = sum_ij (Q_S^T G Q_A)_ij^2 / (s_i a_j + damping).

EK-FAC (George et al. 2018, arXiv 1806.03884, eq. 9) keeps the basis and takes the eigenvalues
E[(Q_S^T G Q_A)_ij^2], the best there are in that basis. The damping is added to the eigenvalue
product, not to the factors, as in EK-FAC influence (Grosse et al. 2023, arXiv 2308.03296); relative
damping is a multiple of the mean eigenvalue over all scored layers (there: of each layer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from coresift.files import read_tensors, write_tensors
from coresift.influence.fisher import Fisher
from coresift.influence.gradients import Basis, by_layer, inputs_of


class FactorSums:
    """Sums of x x^T, dy dy^T and tokens, by `key/inputs`, `key/outputs` and `key/tokens`.

    Args:
        shapes: (d_out, d_in) of every gradient matrix by key.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], device: torch.device, dtype: torch.dtype
    ) -> None:
        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, device=device, dtype=dtype)

        self.sums: dict[str, torch.Tensor] = {}
        for key, (d_out, d_in) in shapes.items():
            self.sums[f"{key}/inputs"] = zeros(d_in, d_in)
            self.sums[f"{key}/outputs"] = zeros(d_out, d_out)
            self.sums[f"{key}/tokens"] = zeros(1)
        self._keys = by_layer(shapes)
        self.layers = frozenset(self._keys)

    def visit(self, layer: str, x: torch.Tensor, dy: torch.Tensor, tokens: torch.Tensor) -> None:
        """See `gradients.Visitor`."""
        for key in self._keys[layer]:
            inputs = inputs_of(key, x)[tokens]
            outputs = dy[tokens]
            self.sums[f"{key}/inputs"].addmm_(inputs.T, inputs)
            self.sums[f"{key}/outputs"].addmm_(outputs.T, outputs)
            self.sums[f"{key}/tokens"] += tokens.sum()


@dataclass(frozen=True)
class Kronecker:
    """Eigenbases of A and S by key, and the eigenvalues (d_out, d_in) of S (x) A as a Fisher."""

    bases: dict[str, Basis]
    eigenvalues: Fisher

    def save(self, path: str | Path) -> None:
        """Write as safetensors, atomically."""
        tensors = dict(self.eigenvalues.sums)
        for key, basis in self.bases.items():
            tensors |= {f"{key}/inputs": basis.inputs, f"{key}/outputs": basis.outputs}
        write_tensors(path, tensors, self.eigenvalues.metadata)

    @classmethod
    def load(cls, path: str | Path, device: torch.device, dtype: torch.dtype) -> Kronecker:
        """Read saved eigenbases.

        Raises:
            ValueError: not such a file.
        """
        tensors, metadata = read_tensors(path)
        keys = [name for name in tensors if "/" not in name]
        if metadata.get("kind") != "kronecker" or not keys:
            raise ValueError(f"{path}: not a file of eigenbases")
        bases = {
            key: Basis(
                *(tensors[f"{key}/{side}"].to(device, dtype) for side in ("inputs", "outputs"))
            )
            for key in keys
        }
        return cls(bases, Fisher({key: tensors[key] for key in keys}, 1, metadata))


def eigenbases(factors: Fisher) -> Kronecker:
    """Eigendecompose the factors of every layer, in float64 on the CPU.

    They are stored, not recomputed: where eigenvalues meet, eigenvectors are a choice, and every
    part of EK-FAC's second pass must make the same one.
    """
    sums = {name: total.double() for name, total in factors.sums.items()}
    bases, products = {}, {}
    for key in (name.removesuffix("/tokens") for name in sums if name.endswith("/tokens")):
        a, q_a = torch.linalg.eigh(sums[f"{key}/inputs"] / sums[f"{key}/tokens"])
        s, q_s = torch.linalg.eigh(sums[f"{key}/outputs"] / factors.count)
        bases[key] = Basis(q_a, q_s)
        # Covariances have no negative eigenvalues but for rounding.
        products[key] = torch.outer(s.clamp_min(0), a.clamp_min(0))
    metadata: dict[str, Any] = factors.metadata
    return Kronecker(bases, Fisher(products, 1, metadata))
