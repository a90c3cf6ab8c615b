"""Intervals that jump on purpose, and zonotopes whose slopes are searched for.

Shapes: B images, K classes.
"""

from __future__ import annotations

import pytest
import torch
from soundness.border import borders
from soundness.nets import predictions, random_images, random_net
from torch import nn

from zoo.bounds import create_bound
from zoo.bounds.loose_interval import LooseInterval, Loosened
from zoo.boxes import box
from zoo.errors import UsageError
from zoo.margins import worst
from zoo.rules import interval

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = ["relu", "batch_normed", "residual"]


def test_ends_jump_as_often_and_as_far_as_they_say():
    layer = Loosened(nn.ReLU(), per_unit=4, strength=0.3)
    at = torch.linspace(0.001, 1.999, 999, dtype=torch.float64)
    lower, upper = interval(layer, at, at)
    widths = upper - lower
    assert ((upper.diff() < -0.29).sum(), (lower.diff() < -0.29).sum()) == (7, 6)
    assert widths.max() <= 0.3 + 1e-9 and (lower <= at).all() and (upper >= at).all()
    # The lower one falls at 1 / 4 too, no further than to 0. At multiples of 1 / 4 ends are exact.
    exact = torch.tensor([0.25, 0.5, 1.0], dtype=torch.float64)
    assert all(torch.equal(end, exact) for end in interval(layer, exact, exact))


@pytest.mark.parametrize("kind", KINDS)
def test_loose_intervals_prove_less_and_nothing_wrong(kind):
    less = cases = 0
    for seed in range(4):
        net, x_BCHW = random_net(kind, seed), random_images(seed, 8)
        y_B, around = predictions(net, x_BCHW), box(x_BCHW, 0.05)
        names = ("loose_interval", "interval")
        loose_BK, tight_BK = (create_bound(name)(net, around, y_B) for name in names)
        assert (loose_BK <= tight_BK).all()
        less += int((loose_BK < tight_BK - 1e-3).sum())
        for border in borders("loose_interval", net, x_BCHW, y_B, clip=True):
            cases += len(border)
            assert border.broken() == 0
    assert less > 10 and cases > 10


def test_hooks_on_a_relu_are_seen():
    net = random_net("relu", 0)
    relu = next(layer for layer in net.modules() if isinstance(layer, nn.ReLU))
    relu.register_forward_hook(lambda *_: None)
    x_BCHW = random_images(0, 2)
    with pytest.raises(UsageError, match="hooks"):
        LooseInterval()(net, box(x_BCHW, 0.1), torch.tensor([0, 1]))


@pytest.mark.parametrize("kind", ["pruned", "sorted"])
def test_no_slopes_are_searched_for_through_ends_without_a_derivative(kind):
    layers = random_net(kind, 1).layers
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), *layers)
    x_BCHW = random_images(1, 4)
    around, y_B = box(x_BCHW, 0.2), torch.tensor([0, 1, 2, 0])
    assert create_bound("deepz")(net, around, y_B).isfinite().all()
    with pytest.raises(UsageError, match="have no derivative"):
        create_bound("alpha_deepz")(net, around, y_B)


@pytest.mark.parametrize("kind", KINDS)
def test_searched_zonotopes_never_prove_less_of_an_image(kind):
    better = 0
    for seed in range(4):
        net, x_BCHW = random_net(kind, seed).double(), random_images(seed, 8).double()
        y_B, around = predictions(net, x_BCHW), box(x_BCHW, 0.2)
        found_B, start_B = (
            worst(create_bound(n)(net, around, y_B), y_B) for n in ("alpha_deepz", "deepz")
        )
        assert (found_B >= start_B - 1e-12).all()
        better += int((found_B > start_B + 1e-6).sum())
    assert better > 0
