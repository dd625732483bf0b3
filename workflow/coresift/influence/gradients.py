"""Sums over squared per-sequence gradients of linear layers, without keeping a gradient.

The gradient of sequence b for a linear layer is G_b = dY_b^T X_b, a sum over tokens of the outer
products of output gradient and input (Goodfellow 2015, arXiv 1510.01799). It is made in tiles that
stay in cache and are dropped at once.

A gradient matrix has a key: the layer's name and which of its tensors make up the matrix,
`layer.weight` (d_out, d_in), `layer.bias` (d_out, 1) or `layer.weight+bias` (d_out, d_in + 1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

#: Elements of G materialised at a time. On a CPU 2 MB of float32, which stay in its caches:
#: squares and sums over them then cost little beside the product that makes them.
TILE_ELEMENTS = {"cpu": 1 << 19}
DEVICE_TILE_ELEMENTS = 1 << 26


@dataclass(frozen=True, eq=False)
class Basis:
    """Orthogonal rotations of a layer's inputs (d_in, d_in) and output gradients (d_out, d_out)."""

    inputs: torch.Tensor
    outputs: torch.Tensor


@dataclass(frozen=True, eq=False)
class Curvature:
    """An inverse curvature that is diagonal, by key, perhaps after a rotation.

    Attributes:
        inverse: 1 / (eigenvalue + damping) of every entry of the gradient matrix; None = ones.
        bases: the rotation of a key, where it has one.
    """

    inverse: Mapping[str, torch.Tensor | None]
    bases: Mapping[str, Basis] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Direction:
    """A fixed direction in the space of gradients, perhaps after a rotation.

    Attributes:
        matrices: M of every gradient matrix by key, (d_out, d_in) in the basis of the key.
        bases: the rotation of a key, where it has one.
    """

    matrices: Mapping[str, torch.Tensor]
    bases: Mapping[str, Basis] = field(default_factory=dict)


#: What a score makes of a gradient: g^T C g, or <M, g>.
Form = Curvature | Direction


class Visitor(Protocol):
    """What a backward pass feeds: one call a layer, in any order.

    Attributes:
        layers: names of the modules to be visited.
    """

    layers: frozenset[str]

    def visit(self, layer: str, x: torch.Tensor, dy: torch.Tensor, tokens: torch.Tensor) -> None:
        """Take a layer's inputs (B, T, d_in) and output gradients (B, T, d_out).

        `tokens` (B, T) is false for padding, where dy is 0 and x is not.
        """


class Summing(Visitor, Protocol):
    """A visitor whose result is a sum over sequences.

    Attributes:
        sums: the sums by name, finite where every gradient is.
    """

    sums: dict[str, torch.Tensor]


def by_layer(keys: Iterable[str]) -> dict[str, list[str]]:
    """Keys of each layer."""
    found = defaultdict(list)
    for key in keys:
        found[key.rpartition(".")[0]].append(key)
    return dict(found)


def inputs_of(key: str, x: torch.Tensor) -> torch.Tensor:
    """The inputs whose products with dY make the gradient matrix: a bias has inputs of 1."""
    kind = key.rpartition(".")[2]
    if kind == "weight":
        return x
    ones = x.new_ones(*x.shape[:2], 1)
    return ones if kind == "bias" else torch.cat([x, ones], dim=2)


@dataclass(frozen=True)
class Tiles:
    """How G = dY^T X of a batch is cut: parts of the matrix, and rows of the batch for each.

    The longer side of the matrix is cut, evenly, so that a tile stays near square: products of
    thin tiles are slow.
    """

    x: torch.Tensor
    dy: torch.Tensor

    def parts(self) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of the matrix of each tile."""
        d_out, d_in = self.dy.shape[2], self.x.shape[2]
        whole = slice(None)
        longest = max(d_out, d_in)
        width = -(-longest // -(-d_out * d_in // self._size))
        for start in range(0, longest, width):
            piece = slice(start, start + width)
            yield (piece, whole) if d_out >= d_in else (whole, piece)

    def gradients(self, part: tuple[slice, slice]) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows of the batch and their G (b, rows, columns of the part)."""
        x, dy = self.x[:, :, part[1]], self.dy[:, :, part[0]].mT
        step = max(1, self._size // (x.shape[2] * dy.shape[1]))
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            yield rows, dy[rows] @ x[rows]

    @property
    def _size(self) -> int:
        return TILE_ELEMENTS.get(self.x.device.type, DEVICE_TILE_ELEMENTS)


def rotate(
    key: str, x: torch.Tensor, dy: torch.Tensor, basis: Basis | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and output gradients of a gradient matrix, in the basis."""
    x = inputs_of(key, x)
    return (x, dy) if basis is None else (x @ basis.inputs, dy @ basis.outputs)


class SquareSums:
    """Sum over the sequences of G * G, by key.

    Args:
        shapes: shape of every tensor by key.
        bases: rotation of a key, where it has one.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        device: torch.device,
        dtype: torch.dtype,
        bases: Mapping[str, Basis] | None = None,
    ) -> None:
        self.sums = {k: torch.zeros(s, device=device, dtype=dtype) for k, s in shapes.items()}
        self._bases = bases or {}
        self._keys = by_layer(shapes)
        self.layers = frozenset(self._keys)

    def visit(self, layer: str, x: torch.Tensor, dy: torch.Tensor, tokens: torch.Tensor) -> None:
        """See `Visitor`."""
        for key in self._keys[layer]:
            total = self.sums[key].view(dy.shape[2], -1)
            tiles = Tiles(*rotate(key, x, dy, self._bases.get(key)))
            for part in tiles.parts():
                for _, g in tiles.gradients(part):
                    total[part].add_(g.square_().sum(0))


class GradientSums:
    """Sum over the sequences of G, by key.

    Args:
        shapes: shape of every tensor by key.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.sums = {k: torch.zeros(s, device=device, dtype=dtype) for k, s in shapes.items()}
        self._keys = by_layer(shapes)
        self.layers = frozenset(self._keys)

    def visit(self, layer: str, x: torch.Tensor, dy: torch.Tensor, tokens: torch.Tensor) -> None:
        """See `Visitor`."""
        for key in self._keys[layer]:
            total = self.sums[key].view(dy.shape[2], -1)
            total.addmm_(dy.flatten(0, 1).T, inputs_of(key, x).flatten(0, 1))


@dataclass
class _Group:
    """Forms, by number, of one gradient matrix in one basis: they share its tiles.

    Attributes:
        quadratic: inverse curvature, None = ones. linear: direction.
    """

    quadratic: dict[int, torch.Tensor | None] = field(default_factory=dict)
    linear: dict[int, torch.Tensor] = field(default_factory=dict)


class Forms:
    """g^T C g or <M, g>, and ||g||^2, of every sequence for several forms in one pass.

    ||g|| of a form is over its own tensors.

    Attributes:
        values, squared_norms: (number of forms, n).
    """

    def __init__(
        self, forms: Sequence[Form], n: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.values = torch.zeros(len(forms), n, device=device, dtype=dtype)
        self.squared_norms = torch.zeros_like(self.values)
        self._shared: dict[str, dict[tuple[str, Basis | None], _Group]] = {}

        def group(key: str, basis: Basis | None) -> _Group:
            (layer,) = by_layer([key])
            return self._shared.setdefault(layer, {}).setdefault((key, basis), _Group())

        for i, form in enumerate(forms):
            if isinstance(form, Direction):
                for key, matrix in form.matrices.items():
                    group(key, form.bases.get(key)).linear[i] = matrix
            else:
                for key, inverse in form.inverse.items():
                    group(key, form.bases.get(key)).quadratic[i] = inverse
        self.layers = frozenset(self._shared)

    def visit(self, layer: str, x: torch.Tensor, dy: torch.Tensor, tokens: torch.Tensor) -> None:
        """See `Visitor`."""
        for (key, basis), group in self._shared[layer].items():
            inputs, outputs = rotate(key, x, dy, basis)
            # A score is computed in one way, whatever else is asked for.
            gram = _gram_pays(inputs, outputs)
            plain = [i for i, inverse in group.quadratic.items() if inverse is None]
            if plain and gram:
                norms = (inputs @ inputs.mT).mul_(outputs @ outputs.mT).sum((1, 2))
                self.values[plain] += norms
                self.squared_norms[plain] += norms
            tiled = [i for i in group.quadratic if i not in plain or not gram]
            if tiled or group.linear:
                self._visit_tiles(Tiles(inputs, outputs), group, tiled)

    def _visit_tiles(self, tiles: Tiles, group: _Group, quadratic: Sequence[int]) -> None:
        d_out = tiles.dy.shape[2]
        for part in tiles.parts():
            weights = {i: _tile(group.quadratic[i], d_out, part) for i in quadratic}
            directions = {i: _tile(matrix, d_out, part) for i, matrix in group.linear.items()}
            for rows, g in tiles.gradients(part):
                flat = g.flatten(1)
                for i, direction in directions.items():
                    self.values[i, rows].add_(flat @ direction)
                squared = flat.square_()
                norms = squared.sum(1)
                for i, weight in weights.items():
                    form = norms if weight is None else squared @ weight
                    self.values[i, rows].add_(form)
                for i in (*weights, *directions):
                    self.squared_norms[i, rows].add_(norms)


def _tile(matrix: Any, d_out: int, part: tuple[slice, slice]) -> Any:
    """A part of a matrix, flat; None stays None."""
    return None if matrix is None else matrix.view(d_out, -1)[part].flatten()


def _gram_pays(x: torch.Tensor, dy: torch.Tensor) -> bool:
    """Whether ||G||^2 = sum (X X^T) * (dY dY^T) is cheaper than making G: when tokens are few."""
    return x.shape[1] * (x.shape[2] + dy.shape[2]) < x.shape[2] * dy.shape[2]
