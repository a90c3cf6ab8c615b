"""Bounds at their own border: the largest eps a bound accepts is where a wrong one shows.

Shapes: B images, D pixels of an image, P attack points, K classes.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from zoo.bounds import Bound, bounds
from zoo.bounds.lipschitz import Lipschitz, lipschitz_constant
from zoo.boxes import box
from zoo.certification import Certifier, certify
from zoo.errors import IntegrityError, UsageError
from zoo.layers import LpDist, MeanShift, Normalize
from zoo.margins import margins_of, worst
from zoo.models import LinfDistMLP, fold

SIDE = 2  # images of 2 x 2 pixels have 16 corners: all are tried
STD = 0.3081
NUM_NETS, NUM_IMAGES = 50, 40


def random_net(seed: int, *, folded: bool) -> LinfDistMLP:
    """A small net with random means, sharp enough that its margins are not all the same."""
    torch.manual_seed(seed)
    net = LinfDistMLP(3, width=6, num_classes=3, in_chans=1, img_size=SIDE, mean=0.13, std=STD)
    for layer in net.modules():
        if isinstance(layer, MeanShift):
            nn.init.normal_(layer.running_mean_O, 2.0, 0.5)
        if isinstance(layer, LpDist):
            nn.init.normal_(layer.weight, 0.0, 1.0 + seed % 3)
    return fold(net.eval()) if folded else net.eval()


def random_images(seed: int, count: int) -> Tensor:
    """Images of which some lie at the ends of the pixel range, where boxes are clipped."""
    generator = torch.Generator().manual_seed(seed)
    x_BCHW = torch.rand(count, 1, SIDE, SIDE, generator=generator)
    return torch.where(x_BCHW < 0.15, 0.0, torch.where(x_BCHW > 0.85, 1.0, x_BCHW))


def predictions(net: nn.Module, x_BCHW: Tensor) -> Tensor:
    with torch.no_grad():
        return net(x_BCHW).argmax(1)


def attack_points(x_CHW: Tensor, eps: Fraction, *, clip: bool) -> Tensor:
    """All corners of the real box, their neighbours one float inside, and random points."""
    within = box(x_CHW[None], eps, clip)
    lower_D, upper_D = (end.flatten() for end in within.inner())
    ends = torch.stack([lower_D, upper_D])
    inside = torch.stack([torch.nextafter(lower_D, upper_D), torch.nextafter(upper_D, lower_D)])
    sides = torch.tensor(list(itertools.product((0, 1), repeat=len(lower_D))))
    pixels = torch.arange(len(lower_D))
    random_PD = lower_D + torch.rand(64, len(lower_D)) * (upper_D - lower_D)
    random_PD = random_PD.clamp(lower_D, upper_D)
    points_PD = torch.cat([ends[sides, pixels], inside[sides, pixels], random_PD])
    return points_PD.reshape(-1, *x_CHW.shape)


def broken(net: nn.Module, x_CHW: Tensor, y: Tensor, eps: Fraction, *, clip: bool) -> bool:
    """Whether a point of the real box is classified differently."""
    return bool((predictions(net, attack_points(x_CHW, eps, clip=clip)) != y).any())


def border(certifier: Certifier, x_CHW: Tensor, y: Tensor, *, clip: bool) -> Fraction | None:
    """Largest eps accepted, by bisection, to 40 bits; None where not even 2^-20 is."""
    accepted, refused = Fraction(1, 2**20), Fraction(1)
    if not bool(certifier(x_CHW[None], y[None], [accepted], clip=clip)[0].certified_B):
        return None
    for _ in range(40):
        middle = (accepted + refused) / 2
        certificate = certifier(x_CHW[None], y[None], [middle], clip=clip)[0]
        if bool(certificate.certified_B):
            accepted = middle
        else:
            refused = middle
    return accepted


def broken_at_lipschitz_border(shorten: float, *, folded: bool) -> tuple[int, int]:
    """Of all certified images, how many fall at eps = radius / shorten."""
    fallen = total = 0
    for seed in range(NUM_NETS):
        net, x_BCHW = random_net(seed, folded=folded), random_images(seed, NUM_IMAGES)
        y_B = predictions(net, x_BCHW)
        radius_B = Certifier(net, "lipschitz")(x_BCHW, y_B, [Fraction(0)])[0].radius_B
        assert radius_B is not None
        for x_CHW, y, radius in zip(x_BCHW, y_B, radius_B, strict=True):
            if 0 < radius:
                eps = min(Fraction(radius.item()) / Fraction(shorten), Fraction(1))
                fallen += broken(net, x_CHW, y, eps, clip=False)
                total += 1
    return fallen, total


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "behind Normalize"])
def test_no_corner_breaks_a_lipschitz_certificate_at_its_border(folded):
    fallen, total = broken_at_lipschitz_border(1.0, folded=folded)
    assert total >= 1500 and fallen == 0


def test_a_certifier_that_forgets_a_twentieth_of_the_margin_is_broken_there():
    fallen, total = broken_at_lipschitz_border(0.95, folded=True)
    assert fallen >= total // 100


def test_a_certifier_that_takes_eps_for_normalised_is_broken(monkeypatch):
    monkeypatch.setattr(LinfDistMLP, "lipschitz", 1.0)
    fallen, total = broken_at_lipschitz_border(1.0, folded=False)
    assert fallen >= total // 10


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("folded", [True, False], ids=["folded", "behind Normalize"])
def test_no_corner_breaks_an_interval_certificate_at_its_border(clip, folded):
    tried = 0
    for seed in range(8):
        net, x_BCHW = random_net(seed, folded=folded), random_images(seed, 6)
        certifier = Certifier(net, "interval")
        for x_CHW, y in zip(x_BCHW, predictions(net, x_BCHW), strict=True):
            eps = border(certifier, x_CHW, y, clip=clip)
            if eps is not None:
                tried += 1
                assert not broken(net, x_CHW, y, eps, clip=clip)
    assert tried >= 30


def test_the_radius_is_the_largest_eps_accepted():
    net, x_BCHW = random_net(0, folded=True), random_images(0, 20)
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
        net, x_BCHW = random_net(seed, folded=True), random_images(seed, 2)
        y_B = predictions(net, x_BCHW)
        margins = next(
            Lipschitz().sweep(
                net, random_net(seed, folded=True).double(), x_BCHW, y_B, [Fraction(1, 10)], True
            )
        )
        exact_BK = exact_margins(net, x_BCHW, y_B)
        for b, k in itertools.product(range(2), range(3)):
            if k != y_B[b]:
                gap = exact_BK[b][k] - Fraction(1, 5) - Fraction(margins.real_BK[b, k].item())
                assert 0 <= gap < Fraction(1, 10**12)
                # the deployed margin leaves room for the program's rounding, and no more
                room = exact_BK[b][k] - Fraction(1, 5) - Fraction(margins.deployed_BK[b, k].item())
                assert 0 <= room < Fraction(1, 10**4)


def exact_margins(net: LinfDistMLP, x_BCHW: Tensor, y_B: Tensor) -> list[list[Fraction]]:
    """Margins of the folded net in rational arithmetic."""
    values = oracles.exactly(x_BCHW.flatten(1).numpy())
    for layer in net.layers:
        if isinstance(layer, LpDist):
            assert layer.bias is not None
            values = oracles.linf_dist(values, oracles.exactly(layer.weight_OI.detach().numpy()))
            values = values + oracles.exactly(layer.bias.detach().numpy())
    return [[row[k] - row[y] for k in range(len(row))] for row, y in zip(values, y_B, strict=True)]


@pytest.mark.parametrize("name", list(bounds))
def test_margins_at_eps_zero_are_the_clean_ones(name):
    net, x_BCHW = random_net(1, folded=True), random_images(1, 10)
    y_B = torch.arange(10) % 3
    margins_BK = bounds[name]()(net, box(x_BCHW, 0), y_B)
    with torch.no_grad():
        clean_BK = margins_of(net(x_BCHW), y_B)
    torch.testing.assert_close(margins_BK.detach(), clean_BK, rtol=0, atol=2e-6)
    assert (margins_BK.gather(1, y_B[:, None]) == 0).all()


@pytest.mark.parametrize("name", list(bounds))
def test_margins_never_grow_with_eps(name):
    net, x_BCHW = random_net(2, folded=False), random_images(2, 20)
    y_B = predictions(net, x_BCHW)
    radii = [Fraction(i, 40) for i in range(20)]
    margins = np.array([c.margin_B.numpy() for c in Certifier(net, name)(x_BCHW, y_B, radii)])
    assert (np.diff(margins, axis=0) <= 0).all()


def test_the_interval_bound_is_never_below_the_lipschitz_bound_and_above_it_where_clipped():
    net, x_BCHW = random_net(3, folded=True), random_images(3, 200)
    y_B = predictions(net, x_BCHW)
    clipped, plain = (
        worst(bounds["interval"]()(net, box(x_BCHW, 0.2, clip), y_B), y_B) for clip in (True, False)
    )
    lipschitz = worst(bounds["lipschitz"]()(net, box(x_BCHW, 0.2), y_B), y_B)
    assert (plain >= lipschitz - 1e-5).all() and (clipped >= plain).all()
    assert (clipped > plain + 1e-3).any()


def test_margins_are_those_of_sampled_points_or_less():
    for name, seed in itertools.product(bounds, range(5)):
        net, x_BCHW = random_net(seed, folded=True), random_images(seed, 10)
        y_B = predictions(net, x_BCHW)
        within = box(x_BCHW, 0.1)
        bound_BK = bounds[name]()(net, within, y_B)
        for _ in range(50):
            share = torch.rand_like(x_BCHW)
            point = within.lower_BCHW + share * (within.upper_BCHW - within.lower_BCHW)
            with torch.no_grad():
                assert (margins_of(net(point), y_B) >= bound_BK - 1e-5).all()


@pytest.mark.parametrize("name", list(bounds))
def test_a_net_at_finite_p_in_train_mode_or_with_nan_weights_is_refused(name):
    x_BCHW, y_B = random_images(0, 2), torch.tensor([0, 1])
    finite, training, bad = (random_net(0, folded=True) for _ in range(3))
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
            Certifier(random_net(0, folded=True), "guess")
    finally:
        del bounds._entries["guess"]


def test_a_model_without_a_constant_has_no_lipschitz_bound():
    with pytest.raises(UsageError, match="states no positive Lipschitz constant"):
        lipschitz_constant(nn.Flatten())


@pytest.mark.parametrize("name", list(bounds))
@pytest.mark.parametrize("std", [-0.3, 0.0, math.inf])
def test_a_std_that_a_file_made_negative_is_refused(name, std):
    net = random_net(0, folded=False)
    net.layers.normalize.std.fill_(std)
    with pytest.raises((UsageError, IntegrityError), match=r"std|finite"):
        certify(net, random_images(0, 2), torch.tensor([0, 1]), 0.1, bound=name)


def test_the_constant_is_the_product_over_all_normalisations():
    net = random_net(0, folded=False)
    alone = net.lipschitz
    net.layers = nn.Sequential(Normalize([0.0], 0.02), *net.layers)
    assert net.lipschitz == pytest.approx(alone * 50)


def test_a_forward_that_was_replaced_is_refused():
    net = random_net(0, folded=True)
    net.layers.dist2.forward = lambda x: x[:, :6] * 2
    with pytest.raises(UsageError, match="forward of its own"):
        certify(net, random_images(0, 2), torch.tensor([0, 1]), 0.1)
