"""Reach: ends that are computed once, for those who ask, and both ends of margins.

Shapes: B images, K classes.
"""

from __future__ import annotations

import pytest
import torch
from soundness.nets import predictions, random_images, random_net
from torch import nn

import zoo.propagation.reach
from zoo.bounds import bounds
from zoo.boxes import box
from zoo.margins import margins_of
from zoo.propagation import Reach, interval_ends, interval_margins, margin_ends, steps_of
from zoo.rounding import DEPLOYED, NAIVE, REAL

pytestmark = pytest.mark.usefixtures("one_thread")


def around(net: nn.Module, seed: int = 0, eps: float = 0.1) -> tuple[Reach, torch.Tensor]:
    """A reach around random images, and predictions."""
    x_BCHW = random_images(seed, 5)
    within = box(x_BCHW, eps)
    reach = Reach(steps_of(net)[0], (within.lower_BCHW, within.upper_BCHW))
    return reach, predictions(net, x_BCHW)


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """Batch sizes of the interval passes that reaches make."""
    made: list[int] = []

    def counting(steps, ends, reading=NAIVE):
        made.append(len(ends[0]))
        return interval_ends(steps, ends, reading)

    monkeypatch.setattr(zoo.propagation.reach, "interval_ends", counting)
    return made


def test_all_who_read_a_reach_share_one_interval_pass(passes) -> None:
    reach, y_B = around(random_net("batch_normed", 1))
    for name in ("interval", "crown_ibp", "cap_ibp", "deepz_ibp", "interval"):
        bounds[name]().margins(reach, y_B)
    assert passes == [5]
    wanted = interval_ends(reach.steps, reach.box)
    for found, ends in zip(reach.ends, wanted, strict=True):
        assert torch.equal(found[0], ends[0]) and torch.equal(found[1], ends[1])


@pytest.mark.parametrize("name", ["crown", "cap_projected", "hbox", "hzono"])
def test_bounds_that_read_no_interval_of_the_batch_compute_none(name, passes) -> None:
    reach, y_B = around(random_net("batch_normed", 1))
    bounds[name]().margins(reach, y_B)
    assert 5 not in passes  # one image's values tell sizes


@pytest.mark.parametrize("reading", [NAIVE, REAL, DEPLOYED])
def test_a_reach_says_how_its_ends_are_read(reading) -> None:
    naive, _ = around(random_net("relu", 2))
    reach = Reach(naive.steps, naive.box, reading)
    assert reach.rigorous == (reading is not NAIVE) and reach.num_classes == 3
    wanted = interval_ends(naive.steps, naive.box, reading)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(reach.ends, wanted, strict=True))


@pytest.mark.parametrize("kind", ["relu", "conv", "folded", "pooled"])
def test_ends_of_margins_hold_the_margins_of_images_in_the_box(kind) -> None:
    net = random_net(kind, 3)
    reach, y_B = around(net)
    lower_BK, upper_BK = margin_ends(reach, y_B)
    assert torch.equal(lower_BK, interval_margins(reach, y_B))
    assert (upper_BK.gather(1, y_B[:, None]) == 0).all()
    low, high = reach.box
    for _ in range(20):
        x_BCHW = low + torch.rand_like(low).round() * (high - low)
        margins_BK = margins_of(net(x_BCHW), y_B)
        assert (lower_BK <= margins_BK + 1e-5).all() and (margins_BK <= upper_BK + 1e-5).all()
    point, _ = around(net, eps=0)
    for end_BK in margin_ends(point, y_B):
        torch.testing.assert_close(end_BK, margins_of(net(point.box[0]), y_B))
