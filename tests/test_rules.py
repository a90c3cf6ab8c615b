"""Rules: intervals and forward errors against every float point and against exact rationals.

Shapes: B batch, I in features, O out features, C/H/W image, K classes.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from soundness import exact
from torch import Tensor, nn

from tests import oracles
from zoo.errors import IntegrityError, UsageError
from zoo.layers import LpDistConv2d, LpDistLinear, MeanShift, Negate, Normalize
from zoo.models import LinfDistMLP, fold
from zoo.rounding import DEPLOYED, NAIVE, REAL
from zoo.rules import Rounded, check_certifiable, forward_error, interval

pytestmark = pytest.mark.usefixtures("one_thread")

UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
KINDS = ["mlp", "folded", "conv"]


@torch.no_grad()
def random_net(kind: str, seed: int, decades: float = 0.0) -> nn.Module:
    """A small net in eval mode whose every tensor is random, weights over 2 * decades decades."""
    torch.manual_seed(seed)
    if kind == "conv":
        net: nn.Module = nn.Sequential(
            Normalize([0.4], 0.3),
            LpDistConv2d(1, 3, 2, stride=2, padding=1, bias=True),
            MeanShift(3),
            LpDistConv2d(3, 2, 2),
            nn.Flatten(),
            LpDistLinear(2, 3, bias=True),
            Negate(),
        )
    else:
        net = LinfDistMLP(3, width=5, num_classes=3, in_chans=1, img_size=2, mean=0.4, std=0.3)
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if not name.endswith(("mean_C", "std")):
            tensor.copy_(torch.randn_like(tensor) * 10 ** (decades * (2 * torch.rand(()) - 1)))
    return (fold(net) if kind == "folded" else net).eval()


def random_box(seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Ends of a box in [0, 1]^4, some sides of width 0, some clipped."""
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(1, 1, 2, 2, generator=g, dtype=dtype)
    radius = 0.4 * torch.rand(x.shape, generator=g, dtype=dtype)
    radius *= torch.rand(x.shape, generator=g) > 0.2
    return (x - radius).clamp(0, 1), (x + radius).clamp(0, 1)


def points_of(lower: Tensor, upper: Tensor, seed: int) -> Tensor:
    """All corners, the centre, and points mixed of ends, their neighbours and uniform values."""
    low, high = lower.flatten(), upper.flatten()
    corners = torch.cartesian_prod(*torch.stack([low, high], 1))
    g = torch.Generator().manual_seed(seed)
    share = torch.rand(300, len(low), generator=g, dtype=low.dtype)
    choices = torch.stack(
        [
            low.expand_as(share),
            high.expand_as(share),
            torch.nextafter(low, high).expand_as(share),
            torch.nextafter(high, low).expand_as(share),
            low + (high - low) * share,
        ]
    )
    pick = torch.randint(len(choices), (1, *share.shape), generator=g)
    points = torch.cat([corners, ((low + high) / 2)[None], choices.gather(0, pick)[0]])
    return points.clamp(low, high).reshape(-1, *lower.shape[1:])


# ---------------------------------------------------------------------------------------- interval


@pytest.mark.parametrize("kind", KINDS)
def test_every_float_point_of_a_box_maps_into_its_interval_without_slack(kind):
    for seed in range(40):
        net = random_net(kind, seed, decades=seed % 3)
        ends = random_box(seed)
        with torch.no_grad():
            lower_BK, upper_BK = interval(net, *ends, DEPLOYED)
            logits_BK = net(points_of(*ends, seed))
        assert (lower_BK <= logits_BK).all() and (logits_BK <= upper_BK).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_of_a_point_is_the_net_s_output_bit_for_bit(kind):
    net, (x, _) = random_net(kind, 0), random_box(0)
    for end_BK in interval(net, x, x, DEPLOYED):
        assert torch.equal(end_BK, net(x))


def test_the_interval_of_one_layer_is_attained_at_its_far_corner():
    for seed in range(20):
        torch.manual_seed(seed)
        net = nn.Sequential(Normalize([0.4], 0.3), nn.Flatten(), LpDistLinear(4, 3, bias=True))
        ends = random_box(seed)
        with torch.no_grad():
            corners_BK = net.eval()(points_of(*ends, seed)[:16])
            _, upper_BK = interval(net, *ends, DEPLOYED)
        assert torch.equal(corners_BK.amax(0, keepdim=True), upper_BK)


@pytest.mark.parametrize("kind", KINDS)
def test_outward_intervals_hold_the_exact_outputs_of_corners_and_centre(kind):
    for seed in range(6):
        net = random_net(kind, seed, decades=seed % 3).double()
        ends = random_box(seed, torch.float64)
        with torch.no_grad():
            lower_BK, upper_BK = (oracles.exactly(end) for end in interval(net, *ends, REAL))
        exact_BK = exact.forward(net, oracles.exactly(points_of(*ends, seed)[:17]))
        assert (lower_BK <= exact_BK).all() and (exact_BK <= upper_BK).all()


def enclosure(reading, dtype: torch.dtype) -> tuple[list[bool], list[float]]:
    """For nets with linear layers: is each exact end enclosed, and how far off is it in units?"""
    enclosed, distance = [], []
    for seed in range(20):
        for kind in ("mlp", "folded"):
            net = random_net(kind, seed, decades=seed % 3).to(dtype)
            ends = random_box(seed, dtype)
            with torch.no_grad():
                computed = [oracles.exactly(end) for end in interval(net, *ends, reading)]
            wanted = exact.interval(net, *(oracles.exactly(end) for end in ends))
            gaps = [*(wanted[0] - computed[0]).flat, *(computed[1] - wanted[1]).flat]
            largest = max(1, *(abs(w) for end in wanted for w in end.flat))
            enclosed += [gap >= 0 for gap in gaps]
            distance += [float(abs(gap) / largest) / UNIT[dtype] for gap in gaps]
    return enclosed, distance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outward_intervals_hold_the_exact_interval_and_little_more(dtype):
    enclosed, distance = enclosure(REAL, dtype)
    assert all(enclosed)
    # A mlp of 3 layers moves each end 8 times by at most 2 units of the magnitudes on the way,
    # which random weights over 4 decades let exceed the logits' own by 100.
    assert max(distance) < 16 * 100


def test_without_widening_the_exact_interval_is_not_held():
    """Control: the test above can fail, and `NAIVE` is not a bound on the exact function."""
    enclosed, _ = enclosure(NAIVE, torch.float64)
    assert 0.1 < np.mean(enclosed) < 0.9


def test_outward_moves_each_end_to_the_next_float():
    x = torch.tensor([0.0, 1.0, -1.0, 1e-40, 3e38])
    lower, upper = REAL.step(x, x)
    assert torch.equal(torch.nextafter(lower, x + math.inf), x) and (lower < x).all()
    assert torch.equal(torch.nextafter(upper, x - math.inf), x) and (upper > x).all()


# ----------------------------------------------------------------------------------- forward error


def run_with_error(net: nn.Module, x: Tensor) -> Rounded:
    no_error = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        return forward_error(net, Rounded(x, no_error, 0), UNIT[x.dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_the_computed_output_is_within_its_error_of_the_exact_one(kind, dtype):
    shares = []
    for seed in range(25):
        net = random_net(kind, seed, decades=3 * (seed % 2)).to(dtype)
        ends = random_box(seed, dtype)
        x = points_of(*ends, seed)[16:20]
        got = run_with_error(net, x)
        assert torch.equal(got.value, net(x))
        off_BK = np.abs(oracles.exactly(got.value) - exact.forward(net, oracles.exactly(x)))
        error_BK = oracles.exactly(got.error.expand_as(got.value))
        assert (off_BK <= error_BK).all()
        shares.append(float((off_BK / error_BK).max()))
    # the bound is worth having: some case uses a good part of it
    assert max(shares) > 0.3


def test_an_error_of_the_input_passes_through_with_gain_one_over_std():
    net, (x, _) = random_net("mlp", 0), random_box(0)
    unit, error = UNIT[torch.float32], 0.01
    off = torch.full((), error, dtype=torch.float64)
    with torch.no_grad():
        given_error = forward_error(net, Rounded(x, off, 0), unit).error
    extra = given_error - run_with_error(net, x).error
    torch.testing.assert_close(extra, torch.full_like(extra, error * net.lipschitz))


def test_roundings_are_counted_once_for_each_rounded_operation():
    x = random_box(0)[0]
    # Normalize 2, three distances, two mean shifts, one bias; folded: three distances, three biases
    assert run_with_error(random_net("mlp", 0), x).num_roundings == 8
    assert run_with_error(random_net("folded", 0), x).num_roundings == 6


# ------------------------------------------------------------------------------------------ layers

WITHOUT_RULE = {
    "Sigmoid": nn.Sequential(nn.Flatten(), nn.Sigmoid()),
    "Softplus": nn.Sequential(nn.Sequential(nn.Softplus())),
    "LayerNorm": nn.Sequential(nn.Flatten(), nn.LayerNorm(4)),
}


@pytest.mark.parametrize(("name", "net"), WITHOUT_RULE.items(), ids=WITHOUT_RULE)
def test_a_layer_without_a_rule_is_refused_by_name(name, net):
    x = random_box(0)[0]
    with pytest.raises(UsageError, match=f"no interval rule for layer {name}\n"):
        interval(net.eval(), x, x)
    with pytest.raises(UsageError, match=f"no forward_error rule for layer {name}\n"):
        run_with_error(net.eval(), x)


class Residual(nn.Sequential):
    """The usual way to write a residual block: a Sequential with a forward of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 2 * super().forward(x)


def test_a_subclass_with_its_own_forward_does_not_inherit_its_parent_s_rule():
    net, x = Residual(nn.Flatten()).eval(), torch.rand(1, 4)
    with pytest.raises(UsageError, match="Residual"):
        interval(net, x, x)
    with pytest.raises(UsageError, match="Residual"):
        run_with_error(net, x)


# ------------------------------------------------------------------------------------- certifiable


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_net_in_eval_mode_at_p_inf_is_certifiable(kind, dtype):
    check_certifiable(random_net(kind, 0).to(dtype))


def test_train_mode_is_refused_even_of_one_layer():
    with pytest.raises(UsageError, match=r"model\.eval\(\)"):
        check_certifiable(random_net("mlp", 0).train())
    net = random_net("mlp", 0)
    net.layers.shift2.train()
    with pytest.raises(UsageError, match=r"layers\.shift2 \(MeanShift\) is in train mode"):
        check_certifiable(net)


@pytest.mark.parametrize("p", [1, 8, 1000, 1e30])
def test_a_finite_exponent_is_refused_even_of_one_layer(p):
    net = random_net("mlp", 0)
    net.layers.dist2.p = p
    with pytest.raises(UsageError, match=r"layers\.dist2 \(LpDistLinear\).*p = math\.inf"):
        check_certifiable(net)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name", ["layers.dist1.weight", "layers.dist3.bias", "layers.shift1.running_mean_O"]
)
def test_a_weight_or_buffer_that_is_not_finite_is_refused_by_name(name, value):
    net = random_net("mlp", 0)
    with torch.no_grad():
        net.state_dict()[name].view(-1)[-1] = value
    with pytest.raises(IntegrityError, match=name):
        check_certifiable(net)


def test_intervals_are_refused_at_a_finite_exponent():
    net, x = random_net("mlp", 0), random_box(0)[0]
    net.p = 8
    with pytest.raises(UsageError, match="p = 8"):
        interval(net, x, x)


def test_corners_and_points_lie_in_the_box():
    """The points above are what they claim: in the box, all corners among them."""
    lower, upper = random_box(3)
    points = points_of(lower, upper, 3)
    assert (lower <= points).all() and (points <= upper).all()
    sides = torch.stack([lower.flatten(), upper.flatten()], 1).tolist()
    corners = set(itertools.product(*sides))
    assert len(corners) > 4
    assert corners <= {tuple(point) for point in points.flatten(1).tolist()}
