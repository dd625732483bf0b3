"""Which parameters an influence score is taken over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

from torch import nn

from coresift.influence.heads import HEADS


@dataclass(frozen=True)
class Layer:
    """A linear layer of a parameter set and which of its tensors belong to it."""

    name: str
    module: nn.Linear
    weight: bool
    bias: bool

    @property
    def tensors(self) -> list[tuple[str, tuple[int, ...]]]:
        """(parameter name, shape) of the chosen tensors."""
        found: list[tuple[str, tuple[int, ...]]] = []
        if self.weight:
            found.append((f"{self.name}.weight", tuple(self.module.weight.shape)))
        if self.bias:
            found.append((f"{self.name}.bias", tuple(self.module.bias.shape)))
        return found

    @property
    def matrix(self) -> tuple[str, tuple[int, int]]:
        """(key, shape) of the chosen tensors as one gradient matrix, the bias its last column."""
        kind = "+".join(("weight",) * self.weight + ("bias",) * self.bias)
        columns = self.module.in_features * self.weight + self.bias
        return f"{self.name}.{kind}", (self.module.out_features, columns)


def resolve_layers(model: nn.Module, parameters: str | Sequence[str]) -> list[Layer]:
    """Linear layers of a parameter set, in model order.

    `head` is the weight of the LM head's dense layer. `linear` is the weight of every linear layer
    on the path of the MLM loss; a decoder tied to the embedding and ESM's contact head are not
    (the first is an embedding, the second gets no gradient). A list holds fnmatch patterns over
    parameter names, weights and biases.

    Raises:
        ValueError: no head is found, a pattern matches nothing, or matches another kind of layer;
            two layers share a weight.
    """
    linears = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    if parameters == "head":
        chosen = {name for name in HEADS if name in names}
        if not chosen:
            raise ValueError(
                f"influence.parameters: 'head' needs one of {tuple(HEADS)} in the model; "
                "give its name as a list of patterns instead"
            )
    elif parameters == "linear":
        embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        inputs = cast(Any, model).get_input_embeddings()  # I-BERT's is no nn.Embedding
        embeddings.add(id(inputs.weight))
        chosen = {
            f"{name}.weight"
            for name, module in linears.items()
            if id(module.weight) not in embeddings and "contact_head" not in name
        }
    else:
        chosen = set()
        for pattern in parameters:
            matched = {name for name in names if fnmatchcase(name, pattern)}
            if not matched:
                raise ValueError(f"influence.parameters: pattern {pattern!r} matches no parameter")
            chosen |= matched
    other = sorted(name for name in chosen if name.rpartition(".")[0] not in linears)
    if other:
        raise ValueError(f"influence.parameters: only linear layers can be scored, not {other[:5]}")
    shared = _shared([name for name in linears if f"{name}.weight" in chosen], linears)
    if shared:
        raise ValueError(
            f"influence.parameters: {' and '.join(shared)} share one weight, of which each would "
            "have a part of the gradient; give other patterns"
        )
    return [
        Layer(name, module, f"{name}.weight" in chosen, f"{name}.bias" in chosen)
        for name, module in linears.items()
        if {f"{name}.weight", f"{name}.bias"} & chosen
    ]


def _shared(names: Sequence[str], linears: Mapping[str, nn.Linear]) -> list[str]:
    """The first two layers that have one weight, if there are any."""
    seen: dict[int, str] = {}
    for name in names:
        if (first := seen.setdefault(id(linears[name].weight), name)) != name:
            return [first, name]
    return []
