"""The network of the supervised baseline: its size and what it sees; test_learning has the rest."""

import numpy as np
import pytest
import torch
from coresift.tasks.cnn import CNN, STRIDES

FORMS = ("mean", "residues", "tokens")


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def letters(rng, alphabet, n):
    return "".join(rng.choice(list(alphabet), n))


def network(form, room=100, modality="rna"):
    """In float64, every block with weights: at first all are the identity."""
    net = CNN(modality, form, room).double().eval()
    for block in net.blocks:
        torch.nn.init.kaiming_normal_(block.convs[1].weight)
    return net


@pytest.mark.parametrize("modality", ["rna", "protein"])
@pytest.mark.parametrize("form", FORMS)
def test_about_a_third_of_a_million_parameters(modality, form):
    assert 200_000 < sum(p.numel() for p in CNN(modality, form, 100).parameters()) < 400_000


@pytest.mark.parametrize("form", FORMS)
def test_a_sequence_does_not_depend_on_what_it_is_batched_with(form):
    rng = np.random.default_rng(0)
    sequences = [letters(rng, "ACGUN", n) for n in (1, 2, 17, 33, 40)]
    net = network(form)
    rows = {"mean": lambda n: 1, "residues": lambda n: n, "tokens": lambda n: n + 2}[form]
    for sequence, together in zip(sequences, net(sequences), strict=True):
        (alone,) = net([sequence])
        assert alone.shape == (rows(len(sequence)), 96)
        torch.testing.assert_close(together, alone)


def test_every_letter_is_its_own_and_what_is_beyond_the_room_is_not_read():
    net = network("residues", room=10)
    ambiguous, unknown = net(["ACGURYNACG", "ACGUNNNACG"])
    assert (ambiguous != unknown).any()
    longer, first = net(["ACGUACGUACGGG", "ACGUACGUAC"])
    torch.testing.assert_close(longer, first)


def test_rows_are_those_of_the_residues():
    """A changed letter changes rows symmetrically about its own, as far as the network sees."""
    n, middle = 401, 200
    text = "A" * n
    other = text[:middle] + "C" + text[middle + 1 :]
    net = network("residues", room=1000)
    (with_ends,) = network("tokens", room=1000)([text])
    assert not with_ends[[0, -1]].any()
    assert with_ends[1:-1].any(1).all()
    a, b = net([text, other])
    changed = torch.nonzero((a != b).any(1)).ravel()
    # Stem (9) and two convolutions of 3 a block, at the resolutions before and after its stride.
    before = np.cumprod([1, *STRIDES])
    reach = 4 + int((before[:-1] + before[1:]).sum())
    assert (int(changed[0]), int(changed[-1])) == (middle - reach, middle + reach)


def test_dilation_sees_what_strides_see():
    """With the same weights the strided rows are the dilated ones, thinned."""
    strided, dilated = network("mean"), network("residues")
    dilated.load_state_dict(strided.state_dict())
    states = []
    for net in (strided, dilated):
        net.norm.register_forward_hook(lambda _, __, found: states.append(found))
        net(["ACGGUCAUGC" * 7])
    thinned, full = states
    torch.testing.assert_close(thinned, full[:, :: int(np.prod(STRIDES))])
