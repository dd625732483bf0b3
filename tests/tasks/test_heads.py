"""BEACON's pair head against its literal definition."""

import pytest
import torch
from coresift.tasks.heads import OuterConv, PairHead, make_head
from coresift.tasks.settings import Task

TASK = {"data": {"path": "x.csv"}}


@pytest.mark.parametrize("band", [1, 300, 1 << 24])
def test_outer_convolution_is_that_of_the_outer_product(monkeypatch, band):
    monkeypatch.setattr(OuterConv, "BAND", band)
    torch.manual_seed(0)
    layer = OuterConv(6, 4).double()
    states = torch.randn(2, 7, 6, dtype=torch.float64, requires_grad=True)
    literal = layer.conv(torch.einsum("bik,bjk->bkij", states, states))
    torch.testing.assert_close(layer(states), literal)
    wanted = torch.autograd.grad(literal.square().sum(), [states, layer.conv.weight])
    found = torch.autograd.grad(layer(states).square().sum(), [states, layer.conv.weight])
    torch.testing.assert_close(found, wanted)


def test_pair_head_does_not_depend_on_what_is_batched():
    torch.manual_seed(0)
    head = PairHead(6, 4, 3, 0.25, 0).double().eval()
    rows = [torch.randn(n, 6, dtype=torch.float64) for n in (9, 5, 12)]
    together = head(rows)
    assert [len(r) for r in together] == [7, 3, 10]  # <cls> and <eos> cropped
    for row, found in zip(rows, together, strict=True):
        torch.testing.assert_close(found, head([row])[0])


def test_pair_head_has_the_published_shape():
    head = make_head(Task(kind="pairwise", **TASK), 640, 1)
    kernels = [tuple(m.weight.shape) for m in head.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [(48, 640, 3, 3)] + 16 * [(48, 48, 3, 3), (48, 48, 5, 5)]


@pytest.mark.parametrize(("head", "layers"), [("linear", 1), ("pooler", 2), ("mlp", 2)])
def test_row_heads(head, layers):
    net = make_head(Task(kind="class", head=head, **TASK), 8, 3)
    assert sum(isinstance(m, torch.nn.Linear) for m in net.modules()) == layers
    assert [tuple(o.shape) for o in net([torch.randn(1, 8), torch.randn(4, 8)])] == [(1, 3), (4, 3)]
