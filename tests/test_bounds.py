"""Bounds: what they promise of each other, of exact margins and of sampled points, and refuse.

Their own borders, where a wrong bound shows, are in soundness/test_border.py.

Shapes: B images, K classes.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from soundness import exact
from soundness.nets import KINDS, predictions, random_images, random_net
from torch import nn

from tests import oracles
from zoo.bounds import Bound, bounds
from zoo.bounds.lipschitz import Lipschitz, lipschitz_constant
from zoo.boxes import box
from zoo.certification import Certifier, certify
from zoo.errors import IntegrityError, UsageError
from zoo.layers import Normalize
from zoo.margins import margins_of, worst


def test_the_radius_is_the_largest_eps_accepted():
    net, x_BCHW = random_net("folded", 0), random_images(0, 20)
    y_B = predictions(net, x_BCHW)
    certifier = Certifier(net, "lipschitz")
    radius_B = certifier(x_BCHW, y_B, [Fraction(0)])[0].radius_B
    assert radius_B is not None
    for x_CHW, y, radius in zip(x_BCHW, y_B, radius_B.tolist(), strict=True):
        if radius > 0:
            inside, outside = Fraction(radius), Fraction(radius * (1 + 1e-9)) + Fraction(1, 10**12)
            verdicts = certifier(
                x_CHW[None], y[None], [inside * (1 - Fraction(1, 10**12)), outside]
            )
            assert [bool(verdict.certified_B) for verdict in verdicts] == [True, False]


def test_real_margins_lie_below_the_exact_ones_and_close():
    for seed in range(20):
        net, x_BCHW = random_net("folded", seed), random_images(seed, 2)
        y_B = predictions(net, x_BCHW)
        margins = next(
            Lipschitz().sweep(
                net, random_net("folded", seed).double(), x_BCHW, y_B, [Fraction(1, 10)], True
            )
        )
        exact_BK = [
            [row[y] - row[k] for k in range(3)]
            for row, y in zip(exact.forward(net, oracles.exactly(x_BCHW)), y_B, strict=True)
        ]
        for b, k in itertools.product(range(2), range(3)):
            if k != y_B[b]:
                gap = exact_BK[b][k] - Fraction(1, 5) - Fraction(margins.real_BK[b, k].item())
                assert 0 <= gap < Fraction(1, 10**12)
                # the deployed margin leaves room for the program's rounding, and no more
                room = exact_BK[b][k] - Fraction(1, 5) - Fraction(margins.deployed_BK[b, k].item())
                assert 0 <= room < Fraction(1, 10**4)


@pytest.mark.parametrize("name", list(KINDS))
def test_margins_at_eps_zero_are_the_clean_ones(name):
    net, x_BCHW = random_net("folded", 1), random_images(1, 10)
    y_B = torch.arange(10) % 3
    margins_BK = bounds[name]()(net, box(x_BCHW, 0), y_B)
    with torch.no_grad():
        clean_BK = margins_of(net(x_BCHW), y_B)
    torch.testing.assert_close(margins_BK.detach(), clean_BK, rtol=0, atol=2e-6)
    assert (margins_BK.gather(1, y_B[:, None]) == 0).all()


@pytest.mark.parametrize("name", list(KINDS))
def test_margins_never_grow_with_eps(name):
    net, x_BCHW = random_net("normalized", 2), random_images(2, 20)
    y_B = predictions(net, x_BCHW)
    radii = [Fraction(i, 40) for i in range(20)]
    margins = np.array([c.margin_B.numpy() for c in Certifier(net, name)(x_BCHW, y_B, radii)])
    assert (np.diff(margins, axis=0) <= 0).all()


def test_the_interval_bound_is_never_below_the_lipschitz_bound_and_above_it_where_clipped():
    net, x_BCHW = random_net("folded", 3), random_images(3, 200)
    y_B = predictions(net, x_BCHW)
    clipped, plain = (
        worst(bounds["interval"]()(net, box(x_BCHW, 0.2, clip), y_B), y_B) for clip in (True, False)
    )
    lipschitz = worst(bounds["lipschitz"]()(net, box(x_BCHW, 0.2), y_B), y_B)
    assert (plain >= lipschitz - 1e-5).all() and (clipped >= plain).all()
    assert (clipped > plain + 1e-3).any()


def test_margins_are_those_of_sampled_points_or_less():
    for name, seed in itertools.product(KINDS, range(5)):
        net, x_BCHW = random_net("folded", seed), random_images(seed, 10)
        y_B = predictions(net, x_BCHW)
        within = box(x_BCHW, 0.1)
        bound_BK = bounds[name]()(net, within, y_B)
        for _ in range(50):
            share = torch.rand_like(x_BCHW)
            point = within.lower_BCHW + share * (within.upper_BCHW - within.lower_BCHW)
            with torch.no_grad():
                assert (margins_of(net(point), y_B) >= bound_BK - 1e-5).all()


@pytest.mark.parametrize("name", list(KINDS))
def test_a_net_at_finite_p_in_train_mode_or_with_nan_weights_is_refused(name):
    x_BCHW, y_B = random_images(0, 2), torch.tensor([0, 1])
    finite, training, bad = (random_net("folded", 0) for _ in range(3))
    finite.p = 8
    training.train()
    with torch.no_grad():
        bad.layers.dist2.weight[0, 0] = math.nan
    for net, error, word in (
        (finite, UsageError, "p = 8"),
        (training, UsageError, "train mode"),
        (bad, IntegrityError, "not finite"),
    ):
        with pytest.raises(error, match=word):
            certify(net, x_BCHW, y_B, 0.1, bound=name)
        for direct in (bounds[name]().real, bounds[name]().deployed):
            with pytest.raises(error, match=word):
                direct(net, box(x_BCHW, 0.1), y_B)


def test_an_estimate_never_certifies():
    class Guess(Bound):
        name, sound = "guess", False

        def __call__(self, model, box, y_B):
            return torch.ones(len(y_B), 3)

        real = deployed = __call__

    bounds.register("guess")(Guess)
    try:
        with pytest.raises(UsageError, match="estimate"):
            Certifier(random_net("folded", 0), "guess")
    finally:
        del bounds._entries["guess"]


def test_a_model_without_a_constant_has_no_lipschitz_bound():
    with pytest.raises(UsageError, match="states no positive Lipschitz constant"):
        lipschitz_constant(nn.Flatten())


@pytest.mark.parametrize("name", list(KINDS))
@pytest.mark.parametrize("std", [-0.3, 0.0, math.inf])
def test_a_std_that_a_file_made_negative_is_refused(name, std):
    net = random_net("normalized", 0)
    net.layers.normalize.std.fill_(std)
    with pytest.raises((UsageError, IntegrityError), match=r"std|finite"):
        certify(net, random_images(0, 2), torch.tensor([0, 1]), 0.1, bound=name)


def test_the_constant_is_the_product_over_all_normalisations():
    net = random_net("normalized", 0)
    alone = net.lipschitz
    net.layers = nn.Sequential(Normalize([0.0], 0.02), *net.layers)
    assert net.lipschitz == pytest.approx(alone * 50)


def test_a_forward_that_was_replaced_is_refused():
    net = random_net("folded", 0)
    net.layers.dist2.forward = lambda x: x[:, :6] * 2
    with pytest.raises(UsageError, match="methods of its own"):
        certify(net, random_images(0, 2), torch.tensor([0, 1]), 0.1)
