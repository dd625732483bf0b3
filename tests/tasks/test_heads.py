"""BEACON's pair head against its literal definition."""

import importlib.util

import pytest
import torch
from coresift.tasks.heads import DroppedConv, OuterConv, PairHead, ResidualBlock, make_head
from coresift.tasks.settings import Task

TASK = {"data": {"path": "x.csv"}}


@pytest.fixture(scope="module")
def beacon(root):
    """benchmarks/evaluation/beacon.py: the head as published."""
    spec = importlib.util.spec_from_file_location(
        "beacon", root / "benchmarks/evaluation/beacon.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def same(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


def gradients(head, outputs):
    return torch.autograd.grad(sum(one.square().mean() for one in outputs), list(head.parameters()))


def random_rows(*sizes):
    return [torch.randn(n, 6, dtype=torch.float64) for n in sizes]


@pytest.mark.parametrize("band", [1, 300, 1 << 24])
def test_outer_convolution_is_that_of_the_outer_product(monkeypatch, band):
    monkeypatch.setattr(OuterConv, "BAND", band)
    torch.manual_seed(0)
    layer = OuterConv(6, 4).double()
    states = torch.randn(2, 7, 6, dtype=torch.float64, requires_grad=True)
    literal = layer.conv(torch.einsum("bik,bjk->bkij", states, states))
    same(layer(states), literal)
    tensors = [states, layer.conv.weight, layer.conv.bias]
    wanted = torch.autograd.grad(literal.square().mean(), tensors)
    same(torch.autograd.grad(layer(states).square().mean(), tensors), wanted)


def test_a_padded_batch_is_its_examples_one_by_one_in_beacons_own_head(beacon):
    torch.manual_seed(0)
    head = PairHead(6, 4, 3, 0.0, 0).double()
    literal = beacon.Head(6, 4, 3, 0.0).double()
    literal.load_state_dict(head.state_dict())
    rows = random_rows(9, 5, 12)
    together = head(rows)
    assert [len(one) for one in together] == [7, 3, 10]  # <cls> and <eos> cropped
    alone = [literal(row) for row in rows]
    same(together, alone)
    same([head([row])[0] for row in rows], alone)
    same(gradients(head, together), gradients(literal, alone))


def test_dropout_is_dropout():
    layer = DroppedConv(4, 3, 0.25).double()
    maps = torch.rand(2, 4, 50, 50, dtype=torch.float64) + 1
    inside = torch.ones(2, 1, 50, 50, dtype=torch.float64)
    inside[1, :, 30:] = 0
    torch.manual_seed(1)
    found = layer(maps, inside)
    torch.manual_seed(1)
    kept = torch.rand_like(maps) >= 0.25
    assert abs(float(kept.double().mean()) - 0.75) < 0.01
    seen = maps * kept / 0.75 * inside
    same(found, torch.nn.functional.conv2d(seen, layer.weight, padding=1))
    layer.eval()
    same(layer(maps), torch.nn.functional.conv2d(maps, layer.weight, padding=1))


def test_activations_that_are_not_kept_change_no_bit():
    torch.manual_seed(0)
    head = PairHead(6, 4, 3, 0.25, 0)
    rows = [row.float() for row in random_rows(9, 12)]
    found = []
    for kept in (0, 2 * 12**2 * 4 * ResidualBlock.KEPT, 1 << 30):  # none, one block, all
        head.kept = kept
        torch.manual_seed(1)
        found.append(gradients(head, head(rows)))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_block_keeps_what_it_says():
    block = ResidualBlock(48, 0.25)
    maps = torch.randn(1, 48, 40, 40, requires_grad=True).clone()
    sizes = {}

    def stored(tensor):
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    maps = maps.contiguous(memory_format=torch.channels_last)
    with torch.autograd.graph.saved_tensors_hooks(stored, lambda tensor: tensor):
        result = block(maps, None)
    weights = sum(4 * p.numel() for p in block.parameters())
    assert result.shape == maps.shape
    assert abs((sum(sizes.values()) - weights) / maps.numel() - ResidualBlock.KEPT) < 1


def test_pair_head_has_the_published_shape():
    head = make_head(Task(kind="pairwise", **TASK), 640, 1)
    kernels = [tuple(m.weight.shape) for m in head.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [(48, 640, 3, 3)] + 16 * [(48, 48, 3, 3), (48, 48, 5, 5)]


@pytest.mark.parametrize(("head", "layers"), [("linear", 1), ("pooler", 2), ("mlp", 2)])
def test_row_heads(head, layers):
    net = make_head(Task(kind="class", head=head, **TASK), 8, 3)
    assert sum(isinstance(m, torch.nn.Linear) for m in net.modules()) == layers
    assert [tuple(o.shape) for o in net([torch.randn(1, 8), torch.randn(4, 8)])] == [(1, 3), (4, 3)]


def test_peers_hidden_layer_is_as_wide_as_one_sequences_states():
    net = make_head(Task(kind="scalar", head="mlp", **TASK), 128, 1, columns=2)
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in layers] == [(128, 64), (64, 1)]
