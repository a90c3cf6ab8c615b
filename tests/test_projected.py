"""Random projections: estimates that come to what they estimate, and that certify nothing.

Shapes: B batch, K classes.
"""

from __future__ import annotations

import pytest
import torch
from soundness.nets import random_images, random_net
from torch import nn

from zoo.bounds import bounds
from zoo.bounds.projected import CapProjected
from zoo.boxes import box
from zoo.certification import certify
from zoo.errors import UsageError
from zoo.layers import LpDistLinear, Negate, Residual
from zoo.margins import margins_of
from zoo.propagation.projected import Projected


class ManyDraws(CapProjected):
    num_draws = 20_000


def net_and_images() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 9), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(9, 4)), torch.rand(3, 1, 4, 4), torch.tensor([0, 1, 3])


def test_the_median_of_many_draws_is_the_half_width():
    torch.manual_seed(0)
    weight_OI = torch.randn(5, 7)
    value = Projected.of_symbols(torch.zeros(2, 7), torch.rand(2, 7), 40_000)
    radius_BI = value.radius
    mixed = Projected(value.centre @ weight_OI.T, value.draws @ weight_OI.T)
    torch.testing.assert_close(mixed.radius, radius_BI @ weight_OI.abs().T, rtol=0.05, atol=0.02)


def test_with_many_draws_the_estimate_comes_to_cap():
    net, x_BCHW, y_B = net_and_images()
    around = box(x_BCHW, 0.1)
    estimated_BK = ManyDraws()(net, around, y_B)
    exact_BK = bounds["cap"]()(net.eval(), around, y_B)
    torch.testing.assert_close(estimated_BK, exact_BK, rtol=0, atol=0.03)
    assert (estimated_BK.gather(1, y_B[:, None]) == 0).all()


@pytest.mark.parametrize("kind", ["residual", "parts"])
def test_with_many_draws_it_comes_to_cap_through_all_that_is_linear(kind):
    net, x_BCHW, y_B = random_net(kind, 2), random_images(0, 3), torch.tensor([0, 1, 2])
    around = box(x_BCHW, 0.05)
    with torch.no_grad():
        exact_BK, estimated_BK = (f(net, around, y_B) for f in (bounds["cap"](), ManyDraws()))
        lost_BK = margins_of(net(x_BCHW), y_B) - exact_BK  # to the ball
    off_BK = (estimated_BK - exact_BK).abs()
    assert (lost_BK.sum(1) > 0).all() and (off_BK <= 0.05 * lost_BK).all()


def test_what_branches_share_cancels():
    """x - x / 2 - x / 2: symbols of one number are drawn once."""
    body = nn.Sequential(nn.Linear(4, 4, bias=False), Residual(Negate()))
    net = nn.Sequential(nn.Flatten(), body, nn.Linear(4, 3))
    margins_BK = CapProjected()(net, box(torch.rand(2, 1, 2, 2), 0.3), torch.tensor([0, 1]))
    bias_K = net[-1].bias.detach()
    wanted_BK = bias_K[:2, None] - bias_K
    torch.testing.assert_close(margins_BK, wanted_BK)


def test_gradients_reach_all_weights():
    net, x_BCHW, y_B = net_and_images()
    bounds["cap_projected"]()(net, box(x_BCHW, 0.1), y_B).sum().backward()
    assert all(bool((weight.grad != 0).any()) for weight in net.parameters())


def test_an_estimate_does_not_certify():
    net, x_BCHW, y_B = net_and_images()
    with pytest.raises(UsageError, match="estimate"):
        certify(net.eval(), x_BCHW, y_B, 0.1, bound="cap_projected")
    with pytest.raises(UsageError, match="certify with cap"):
        CapProjected().real(net, box(x_BCHW, 0.1), y_B)


def test_other_layers_are_refused_by_name():
    net = nn.Sequential(nn.Flatten(), LpDistLinear(4, 2))
    with pytest.raises(UsageError, match="LpDistLinear has no random projections"):
        CapProjected()(net, box(torch.rand(1, 1, 2, 2), 0.1), torch.tensor([0]))
