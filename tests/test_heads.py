"""What heads need: tanh of any library, scaled linear layers, and the elision of the last layer.

Shapes: B batch, I in features, O out features, K classes.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from soundness.asking import margins
from torch import Tensor, nn

from tests import oracles
from zoo.errors import UsageError, ZooError
from zoo.layers import LpDistLinear, Negate, ScaledLinear
from zoo.margins import margins_of
from zoo.rounding import DEPLOYED, NAIVE, REAL, library_error
from zoo.rules import describe, interval
from zoo.rules.activations import TANH_UNITS

pytestmark = pytest.mark.usefixtures("one_thread")
READINGS = [NAIVE, REAL, DEPLOYED]

# -------------------------------------------------------------------------------------------- tanh


def arguments(count: int, dtype: torch.dtype) -> Tensor:
    """Numbers over all magnitudes that tanh tells apart, and a fine grid where it bends."""
    g = torch.Generator().manual_seed(0)
    lowest = -37 if dtype == torch.float32 else -300
    size = 10 ** (lowest + (1 - lowest) * torch.rand(count, generator=g, dtype=torch.float64))
    sign = torch.where(torch.rand(count, generator=g) < 0.5, -1.0, 1.0)
    return torch.cat([sign * size, torch.linspace(-20, 20, count).double()]).to(dtype)


def units_off(computed: Tensor, exact: np.ndarray) -> float:
    """The largest error, in units of 2 u |exact|."""
    off = np.abs(oracles.exactly(computed) - exact) / np.abs(exact)
    return float(off.max()) / torch.finfo(computed.dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_s_tanh_is_within_half_of_what_is_assumed(dtype):
    x = arguments(1500, dtype)
    exact = np.array([oracles.tanh(v) for v in oracles.exactly(x)])
    scalar = torch.cat([torch.tanh(one) for one in x.split(1)])
    strided = torch.tanh(torch.stack([x, x], 1)[:, 0])
    for computed in (torch.tanh(x), scalar, strided):
        assert units_off(computed, exact) < TANH_UNITS / 2


def test_torch_s_tanh_in_float32_is_within_half_of_it_on_many_more_numbers():
    x = arguments(300_000, torch.float32)
    exact = torch.tanh(x.double())  # itself off by 1e-8 of a float32's unit
    off = (torch.tanh(x).double() - exact).abs() / exact.abs()
    assert off.max() / torch.finfo(torch.float32).eps < TANH_UNITS / 2


def test_infinite_and_nan_ends_stay_what_they_are():
    x = torch.tensor([-math.inf, math.inf, math.nan])
    for reading in READINGS:
        lower, upper = interval(nn.Tanh(), x, x, reading)
        assert lower[0] <= -1 <= upper[0] and lower[1] <= 1 <= upper[1]
        assert lower[2].isnan() and upper[2].isnan()


def test_a_function_that_falls_where_it_should_rise_has_ordered_ends_in_training():
    lower, upper = NAIVE.function(lambda x: -x, torch.zeros(1), torch.ones(1), 4)
    assert lower == -1 and upper == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_error_of_a_library_is_the_smallest_normal_at_zero_and_grows_from_there(dtype):
    x = torch.tensor([0.0, 0.5, 1.0], dtype=dtype)
    error = library_error(x, 4)
    tiny, eps = torch.finfo(dtype).tiny, torch.finfo(dtype).eps
    assert error[0] >= tiny and 4 * eps < error[2] < 5 * eps
    assert error[1] - error[0] == pytest.approx((error[2] - error[1]).item(), rel=0.01)


# ---------------------------------------------------------------------------------------- elision


def random_linear(kind: type[nn.Module], seed: int) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A layer of 7 classes, a box of its inputs, and labels."""
    torch.manual_seed(seed)
    layer = kind(6, 7)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0.0, 2.0)
    centre, radius = torch.randn(5, 6), torch.rand(5, 6)
    return layer, centre - radius, centre + radius, torch.randint(0, 7, (5,))


def unelided(layer: nn.Module, lower: Tensor, upper: Tensor, y_B: Tensor, reading) -> Tensor:
    lower_BK, upper_BK = interval(layer, lower, upper, reading)
    return (lower_BK.gather(1, y_B[:, None]) - upper_BK).scatter(1, y_B[:, None], 0.0)


@torch.no_grad()
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", [nn.Linear, ScaledLinear])
def test_elided_margins_are_above_those_of_the_ends_and_below_those_of_points(kind, reading):
    gained = 0.0
    for seed in range(20):
        layer, lower, upper, y_B = random_linear(kind, seed)
        found_BK = margins(layer, lower, upper, y_B, reading)
        ends_BK = unelided(layer, lower, upper, y_B, reading)
        assert (found_BK >= ends_BK - 1e-4).all()
        gained = max(gained, (found_BK - ends_BK).max().item())
        assert (found_BK.gather(1, y_B[:, None]) == 0).all()
        least_BK = torch.full_like(found_BK, math.inf)
        for _ in range(30):
            corner = torch.where(torch.rand_like(lower) < 0.5, lower, upper)
            least_BK = torch.minimum(least_BK, margins_of(layer(corner), y_B))
        assert (found_BK <= least_BK + (1e-4 if reading is NAIVE else 0)).all()
    assert gained > 1


@torch.no_grad()
@pytest.mark.parametrize("kind", [nn.Linear, ScaledLinear])
def test_elided_margins_are_attained_at_a_corner(kind):
    layer, lower, upper, y_B = random_linear(kind, 0)
    weight = layer.scaled_OI if kind is ScaledLinear else layer.weight
    found_BK = margins(layer.double(), lower.double(), upper.double(), y_B)
    for b, y in enumerate(y_B.tolist()):
        for k in {*range(7)} - {y}:
            falls = weight[y] < weight[k]
            corner = torch.where(falls, upper[b], lower[b])[None].double()
            there = margins_of(layer(corner), y_B[b : b + 1])[0, k]
            assert found_BK[b, k].item() == pytest.approx(there.item(), abs=1e-9)


@given(st.integers(0, 2**31), st.sampled_from([nn.Linear, ScaledLinear]), st.floats(-6, 6))
def test_no_margin_of_the_program_or_the_exact_layer_is_below_its_bound(seed, kind, decade):
    layer, lower, upper, y_B = random_linear(kind, seed)
    with torch.no_grad():
        layer.weight.mul_(10**decade)
        deployed_BK = margins(layer, lower, upper, y_B, DEPLOYED).double()
        share = torch.rand(len(lower), 1)
        point = torch.clamp(lower + share * (upper - lower), lower, upper)
        logits = layer(point).double()
        assert (margins_of(logits, y_B) >= deployed_BK).all()
        wide = [end.double() for end in (lower, upper)]
        real = oracles.exactly(margins(layer.double(), *wide, y_B, REAL))
    scale = oracles.exactly(getattr(layer, "scale", 1.0))
    weight = oracles.exactly(layer.weight.detach()) * scale
    exact = oracles.exactly(point) @ weight.T + oracles.exactly(layer.bias.detach())
    own = exact[np.arange(len(exact)), y_B.numpy()][:, None]
    assert (own - exact >= real).all()


@torch.no_grad()
def test_a_last_layer_is_elided_in_whatever_it_is_nested_and_no_other_layer_is():
    linear, lower, upper, y_B = random_linear(nn.Linear, 0)
    wanted = margins(linear, lower, upper, y_B)
    nested = nn.Sequential(nn.Sequential(nn.Sequential(linear), nn.Sequential()))
    for net in (nn.Sequential(linear), nested):
        assert torch.equal(margins(net, lower, upper, y_B), wanted)
    for last in (nn.Flatten(), Negate(), LpDistLinear(7, 7), nn.ReLU()):
        net = nn.Sequential(linear, last)
        assert torch.equal(margins(net, lower, upper, y_B), unelided(net, lower, upper, y_B, NAIVE))


def test_a_sequential_with_a_forward_of_its_own_is_not_elided():
    class Doubled(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    linear, lower, upper, y_B = random_linear(nn.Linear, 0)
    with pytest.raises(UsageError, match="no interval rule for layer Doubled"):
        margins(Doubled(linear), lower, upper, y_B)
    linear.register_forward_hook(lambda layer, args, out: 2 * out)
    with pytest.raises(UsageError, match="hooks"):
        margins(nn.Sequential(linear), lower, upper, y_B)


def test_ends_that_cross_before_an_elided_layer_are_refused():
    layer, lower, upper, y_B = random_linear(nn.Linear, 0)
    for reading in READINGS:
        with pytest.raises(ZooError, match="above its upper end"):
            margins(nn.Sequential(layer), upper, lower, y_B, reading)


def test_a_logit_that_may_overflow_certifies_nothing():
    layer, x, y_B = nn.Linear(2, 3), torch.ones(1, 2), torch.tensor([0])
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [3e38, -3e38]]))
        found_BK = margins(layer, x, x, y_B, DEPLOYED)
    assert found_BK[0, 2].isnan() and found_BK[0, 1].isfinite() and found_BK[0, 0] == 0


def test_a_label_whose_logit_may_overflow_certifies_nothing_at_all():
    layer, x, y_B = nn.Linear(2, 3), torch.ones(1, 2), torch.tensor([2])
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [3e38, -3e38]]))
        assert margins(layer, x, x, y_B, DEPLOYED)[0, :2].isnan().all()


# ----------------------------------------------------------------------------------- scaled linear


def test_scaled_linear_is_a_linear_layer_of_weights_over_the_root_of_the_fan_in():
    torch.manual_seed(0)
    layer, x_BI = ScaledLinear(300, 50), torch.randn(4, 300)
    assert abs(layer.weight.std() - 1) < 0.03 and (layer.bias == 0).all()
    nn.init.normal_(layer.bias)
    expected = x_BI.double() @ layer.weight.double().T / math.sqrt(300) + layer.bias.double()
    torch.testing.assert_close(layer(x_BI).double(), expected, rtol=1e-5, atol=1e-5)
    assert layer.state_dict().keys() == nn.Linear(300, 50).state_dict().keys()


@pytest.mark.parametrize("num_in", [1, 2, 3, 512, 5120])
def test_the_scale_is_one_float32_number_in_every_dtype_and_on_every_device(num_in):
    layer = ScaledLinear(num_in, 2)
    assert layer.scale == np.float32(num_in**-0.5)
    assert layer.double().scale == layer.scale and ScaledLinear(num_in, 2).scale == layer.scale
    with torch.device("meta"):
        assert ScaledLinear(num_in, 2).scale == layer.scale


def test_scaled_linear_has_no_kind_before_it_is_folded():
    with pytest.raises(UsageError, match="fold the net first"):
        describe(nn.Sequential(ScaledLinear(2, 2)))
