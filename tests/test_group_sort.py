"""GroupSort nets: contracted rows, sorted pairs, folding, a run from recipe to checked weights.

Shapes: B batch, I in features, O out features, C/H/W image.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import zoo
from tests.op_cases import quick, seeds
from zoo.attacks.pgd import PGD
from zoo.certification import certify
from zoo.errors import UsageError
from zoo.layers import LinfLinear, MaxMin
from zoo.models import GroupSortMLP, fold, unfold
from zoo.publishing.claims import check_claims
from zoo.rounding import contracted, row_norms
from zoo.rules import check_certifiable

MEAN, STD = (0.1, 0.5, 0.8), 0.25


@torch.no_grad()
def random_net(seed: int = 0, depth: int = 3) -> GroupSortMLP:
    torch.manual_seed(seed)
    net = GroupSortMLP(depth, width=20, num_classes=5, img_size=3, mean=MEAN, std=STD)
    for layer in net.modules():
        if isinstance(layer, LinfLinear):
            layer.weight.normal_(0, 0.3)
            layer.bias.normal_(0, 0.1)
    return net.eval()


# -------------------------------------------------------------------------------------------- rows


@quick
@given(seeds, st.floats(-4, 4), st.sampled_from([torch.float32, torch.float64]))
def test_contracted_rows_have_exact_norms_of_at_most_one_and_stay(seed, decades, dtype):
    g = torch.Generator().manual_seed(seed)
    w_OI = (torch.randn(6, 9, generator=g) * 10**decades).to(dtype)
    small_OI = contracted(w_OI, dtype)
    assert max(sum(map(Fraction, row)) for row in small_OI.abs().tolist()) <= 1
    assert torch.equal(contracted(small_OI, dtype), small_OI)
    wanted_OI = w_OI.double() / w_OI.double().abs().sum(1, keepdim=True).clamp_min(1)
    torch.testing.assert_close(small_OI.double(), wanted_OI, rtol=3e-7, atol=1e-12)


def test_a_norm_of_one_is_told_from_the_next_number():
    third = torch.tensor(1 / 3).nextafter(torch.tensor(1.0))
    rows = torch.tensor([[0.5, 0.25, -0.25], [third, -third, third], [1, 0, 2.0**-80]])
    assert row_norms(rows).tolist()[0] == 1.0 and (row_norms(rows)[1:] > 1).all()


# ------------------------------------------------------------------------------------------ layers


def test_pairs_are_sorted_and_keep_their_places():
    x_BI = torch.tensor([[1.0, 2.0, 5.0, -3.0], [0.0, 0.0, -2.0, -1.0]])
    assert MaxMin()(x_BI).tolist() == [[2.0, 1.0, 5.0, -3.0], [0.0, 0.0, -1.0, -2.0]]
    with pytest.raises(UsageError, match="odd, 3"):
        MaxMin()(x_BI[:, :3])


def test_sorting_keeps_gradients_and_nan():
    x_BI = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(MaxMin(), (x_BI,))
    assert MaxMin()(torch.tensor([[1.0, math.nan]])).isnan().all()


@pytest.mark.parametrize("value", [1e38, 1e-44])
def test_weights_that_no_float_sum_holds_are_refused(value):
    net = nn.Sequential(nn.Flatten(), LinfLinear(4, 2)).eval()
    with torch.no_grad():
        net[1].weight[0] = value
    with pytest.raises(UsageError, match="layer 1"):
        check_certifiable(net)


# ------------------------------------------------------------------------------------------- model


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_folded_logits_are_std_times_the_unfolded_ones_and_back(depth):
    net = random_net(depth=depth)
    x = torch.rand(20, 3, 3, 3)
    folded = fold(net)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), STD * net(x), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(unfold(folded, MEAN, STD).eval()(x), net(x))
    again = fold(unfold(folded, MEAN, STD))
    for name, tensor in again.state_dict().items():
        torch.testing.assert_close(tensor, folded.state_dict()[name], rtol=0, atol=1e-6)
    assert not any(isinstance(layer, LinfLinear) for layer in folded.modules())


@pytest.mark.parametrize("form", [lambda net: net, fold], ids=["unfolded", "folded"])
def test_logits_move_at_most_l_times_as_far_as_raw_pixels(form):
    net = form(random_net()).double()
    x, step = torch.rand(500, 3, 3, 3).double(), torch.randn(500, 3, 3, 3).double()
    x.requires_grad_()
    picked = torch.arange(500)[:, None] % 5
    (steepest,) = torch.autograd.grad(net(x).gather(1, picked).sum(), x)
    share = []
    for way in (step, steepest.sign()):
        other = x + 1e-3 * way
        apart_B = (net(x) - net(other)).abs().amax(1) / (x - other).abs().flatten(1).amax(1)
        share.append((apart_B.detach() / net.lipschitz).max().item())
    assert max(share) <= 1 + 1e-9 and share[1] > 0.05


@pytest.mark.parametrize("bound", ["lipschitz", "interval"])
def test_no_corner_of_the_box_breaks_a_certificate(bound):
    net, x = fold(random_net(3)), torch.rand(30, 3, 3, 3)
    y_B, eps = net(x).argmax(1), 0.002
    certified_B = certify(net, x, y_B, eps, bound=bound).certified_B
    assert certified_B.any()
    for _ in range(100):
        corner = (x + eps * torch.randn(x.shape).sign()).clamp(0, 1)
        assert (net(corner).argmax(1) == y_B)[certified_B].all()


def test_widths_that_have_no_pairs_are_refused():
    with pytest.raises(UsageError, match="width must be even, got 7"):
        GroupSortMLP(3, width=7)


def test_a_run_is_trained_published_and_checked(tmp_path: Path):
    name = "group_sort_mlp3.digits_eps0.05"
    (tmp_path / f"{name}.yaml").write_text(f"""\
name: {name}
source: Anil et al. 2019, arXiv:1811.05381
data: digits
eps: 0.05
model: {{name: group_sort_mlp3, width: 32}}
objective: {{name: hinge}}
optimizer: {{name: adam}}
schedules:
  lr: {{name: constant, value: 0.01}}
  eps: {{name: constant, value: 0.1}}
epochs: 12
batch_size: 128
""")
    run = tmp_path / "run"
    zoo.train(tmp_path / f"{name}.yaml", out=run)
    folder = zoo.publish(run, out=tmp_path / "weights", attack=PGD(steps=5), quiet=True)
    net = zoo.load(folder)
    weights = [layer.weight for layer in net.modules() if isinstance(layer, nn.Linear)]
    assert len(weights) == 3 and net.lipschitz == 1.0
    assert max(sum(map(Fraction, row)) for w in weights for row in w.abs().tolist()) <= 1
    assert net.card.counts.n_certified > 50 and net.card.logits_sha256 is None
    assert {layer["kind"] for layer in net.card.layers} == {"flatten", "linear", "max_min"}
    assert check_claims(folder, quiet=True).report.rows[0].n == 360
    # No layer widens a box by more than its Lipschitz constant says, and pixels are clipped.
    interval = zoo.evaluate(str(folder), bound="interval", attack=None, quiet=True).rows[0]
    assert interval.n_certified >= net.card.counts.n_certified


def test_rows_whose_norm_is_no_number_have_no_gain():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double().eval()
    nn.init.constant_(net[1].weight, 1.7e308)
    net.lipschitz = 1.0
    x_BCHW, y_B = torch.rand(1, 1, 2, 2, dtype=torch.float64), torch.zeros(1).long()
    with pytest.raises(UsageError, match="norm of a row overflows"):
        zoo.certify(net, x_BCHW, y_B, 0.1, bound="lipschitz")
