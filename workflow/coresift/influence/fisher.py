"""Sums over D_sub that a curvature is made of: computed by parts, merged to the same bytes.

The empirical Fisher is a mean over D_sub of products of per-sequence gradients (paper, section
3.2). D_sub is cut into `CHUNKS` runs of sequences in hash order, the leaves of one fixed binary
tree. A part computes the whole subtrees inside its run of chunks, the merge adds the rest of the
tree: every addition is the same, in the same order, whatever the number of parts. A part holds at
most log2(CHUNKS) + 1 sums at once.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch

from coresift.corpus.blocks import bounds
from coresift.files import open_tensors, read_tensors, write_tensors
from coresift.influence.engine import InfluenceEngine, Settings
from coresift.influence.gradients import Basis, Curvature, Summing
from coresift.models.checkpoint import machine

logger = logging.getLogger(__name__)

#: The module that, with what it imports, has the code of all kinds of sums.
CODE = Path(__file__).with_name("scoring.py")
#: Leaves of the tree; more parts than this would have nothing to do.
CHUNKS = 64
#: Seconds between two checkpoints of a part.
CHECKPOINT_SECONDS = 60.0

#: First and end chunk of a subtree, half open.
Node = tuple[int, int]
Sums = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Fisher:
    """Sums over `count` sequences, by key, and their origin."""

    sums: Sums
    count: int
    metadata: dict[str, Any]

    def save(self, path: str | Path) -> None:
        """Write as safetensors, atomically."""
        write_tensors(path, self.sums, {**self.metadata, "count": self.count})

    def select(self, keys: Iterable[str]) -> Fisher:
        """The Fisher of some keys."""
        return Fisher({key: self.sums[key] for key in keys}, self.count, self.metadata)

    @classmethod
    def load(cls, path: str | Path) -> Fisher:
        """Read a saved Fisher.

        Raises:
            ValueError: not a Fisher file.
        """
        sums, metadata = read_tensors(path)
        if "count" not in metadata:
            raise ValueError(f"{path}: not a Fisher file (no count)")
        return cls(sums, int(metadata.pop("count")), metadata)


def halves(node: Node) -> tuple[Node, Node]:
    """The children of a node of more than one chunk."""
    start, stop = node
    middle = (start + stop) // 2
    return (start, middle), (middle, stop)


def subtrees(low: int, high: int, node: Node = (0, CHUNKS)) -> Iterator[Node]:
    """The largest nodes inside chunks low..high (half open), in order."""
    start, stop = node
    if low <= start and stop <= high:
        yield node
    elif start < high and low < stop:
        for half in halves(node):
            yield from subtrees(low, high, half)


class Part:
    """Sums of the subtrees of one part, with a checkpoint to resume from.

    Args:
        low, high: chunks of the part (half open).
        path: the checkpoint file; a damaged one, or one of another origin, is not used.
        metadata: what the sums are made of: model, settings, D_sub.
        machine: what else decides their bits.
    """

    def __init__(
        self,
        low: int,
        high: int,
        path: str | Path,
        metadata: Mapping[str, Any],
        machine: Mapping[str, Any],
    ) -> None:
        self._range = low, high
        self._path = Path(path)
        self._metadata = dict(metadata)
        self._machine = dict(machine)
        self._nodes: dict[Node, Sums] = self._resumed() if self._path.is_file() else {}
        self._saved = time.monotonic()

    def _resumed(self) -> dict[Node, Sums]:
        """Sums that the checkpoint has of chunks of this part, by node."""
        try:
            tensors, found = read_tensors(self._path)
        except ValueError as error:
            logger.warning("starting afresh: %s", error)
            return {}
        # As it would have been written: JSON has no tuples.
        expected = json.loads(json.dumps(self._metadata | self._machine))
        if found != expected:
            changed = (
                name for name in sorted(found | expected) if found.get(name) != expected.get(name)
            )
            logger.warning(
                "starting afresh: %s is of another run (%s)", self._path, ", ".join(changed)
            )
            return {}
        nodes: dict[Node, Sums] = {}
        for name, tensor in tensors.items():
            node, key = _split(name)
            if self._range[0] <= node[0] and node[1] <= self._range[1]:
                nodes.setdefault(node, {})[key] = tensor
        logger.info("resuming from %d subtrees", len(nodes))
        return nodes

    def compute(self, node: Node, leaf: Callable[[int], Sums]) -> None:
        """Add the sums of a node, from what the checkpoint has and `leaf` of each other chunk."""
        if node in self._nodes:
            return
        start, stop = node
        if stop - start == 1:
            self._nodes[node] = leaf(start)
            if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
                self._save(self._path, self._metadata | self._machine)
                self._saved = time.monotonic()
            logger.info("chunk %d done", start)
            return
        left, right = halves(node)
        self.compute(left, leaf)
        self.compute(right, leaf)
        self._nodes[node] = _add(self._nodes.pop(left), self._nodes.pop(right))

    def save(self, path: str | Path) -> None:
        """Write as safetensors, atomically: a tensor named start-stop/key for each sum."""
        self._save(path, self._metadata)

    def _save(self, path: str | Path, metadata: Mapping[str, Any]) -> None:
        tensors = {
            _join(node, key): tensor
            for node, sums in self._nodes.items()
            for key, tensor in sums.items()
        }
        write_tensors(path, tensors, metadata)


def _join(node: Node, key: str) -> str:
    return f"{node[0]}-{node[1]}/{key}"


def _split(name: str) -> tuple[Node, str]:
    node, _, key = name.partition("/")
    start, _, stop = node.partition("-")
    return (int(start), int(stop)), key


def _add(left: Sums, right: Sums) -> Sums:
    for key, tensor in left.items():
        tensor += right[key]
    return left


def part_of(subset: pl.DataFrame, part: int, n_parts: int) -> pl.DataFrame:
    """The sequences of D_sub that part `part` of `n_parts` sums over."""
    low, high = bounds(part, n_parts, CHUNKS)
    start, stop = low * subset.height // CHUNKS, high * subset.height // CHUNKS
    return subset.sort("seq_id")[start:stop]


def compute_part(
    engine: InfluenceEngine,
    subset: pl.DataFrame,
    make: Callable[[], Summing],
    part: int,
    n_parts: int,
    metadata: Mapping[str, Any],
    path: str | Path,
    checkpoint: str | Path,
) -> None:
    """Write part `part` of `n_parts` of the sums of visitors `make()` over D_sub.

    Args:
        subset: D_sub, columns seq_id and sequence.
        path: the part's file, see `merge_parts`.
        checkpoint: file a killed job resumes from; removed at the end.

    Raises:
        GradientError: a sequence has a NaN or infinite gradient.
    """
    subset = subset.sort("seq_id")
    low, high = bounds(part, n_parts, CHUNKS)
    metadata = {**metadata, "count": subset.height}
    sums = Part(low, high, checkpoint, metadata, machine(engine.device, CODE))

    def leaf(chunk: int) -> Sums:
        start, stop = bounds(chunk, CHUNKS, subset.height)
        return engine.sums(subset[start:stop], make)

    for node in subtrees(low, high):
        sums.compute(node, leaf)
    sums.save(path)
    Path(checkpoint).unlink(missing_ok=True)


def merge_parts(paths: Sequence[str | Path]) -> Fisher:
    """The sums over the whole of D_sub, one tensor at a time.

    Raises:
        ValueError: the parts are of different models or settings, or do not cover D_sub.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(open_tensors(path)) for path in paths]
        places = {name: handle for handle, _ in files for name in handle.keys()}  # noqa: SIM118
        keys = sorted({_split(name)[1] for name in places})
        metadata = files[0][1]
        if any(found != metadata for _, found in files):
            raise ValueError("parts of different models or settings cannot be merged")

        def total(node: Node, key: str) -> torch.Tensor:
            name = _join(node, key)
            if name in places:
                return places[name].get_tensor(name)
            if node[1] - node[0] == 1:
                raise ValueError(f"no part has chunk {node[0]}")
            left, right = halves(node)
            return total(left, key).add_(total(right, key))

        sums = {key: total((0, CHUNKS), key) for key in keys}
    return Fisher(sums, int(metadata.pop("count")), metadata)


def inverse_curvature(
    fisher: Fisher,
    settings: Settings,
    device: torch.device,
    bases: Mapping[str, Basis] | None = None,
) -> Curvature:
    """1 / (eigenvalue + damping); the eigenvalues are `fisher.sums / fisher.count` in `bases`.

    Without bases that is diag(F) itself. Relative damping is a multiple of the mean eigenvalue
    over all scored parameters. `curvature: identity` needs the keys only.

    Raises:
        ValueError: the eigenvalues are zero or not finite where an inverse is needed.
    """
    dtype = torch.float64 if settings.precision == "float64" else torch.float32
    if settings.curvature == "identity":
        return Curvature(dict.fromkeys(fisher.sums))
    eigenvalues = {name: total.double() / fisher.count for name, total in fisher.sums.items()}
    damping = settings.damping
    if settings.damping_mode == "relative":
        size = sum(e.numel() for e in eigenvalues.values())
        damping *= float(sum(e.sum() for e in eigenvalues.values())) / size
    if not 0 < damping < float("inf"):
        raise ValueError(f"the Fisher's mean is {damping / settings.damping}: no gradient signal")
    inverse = {
        name: (1 / (e + damping)).to(device=device, dtype=dtype) for name, e in eigenvalues.items()
    }
    return Curvature(inverse, bases or {})
