"""Attacks: inside the real ball, strong enough to matter, and harmless to the model.

Shapes: B images.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

import zoo
from zoo.attacks import Attack
from zoo.attacks.pgd import PGD, _noise
from zoo.certification.certifier import strict_argmax
from zoo.data.load import load_data
from zoo.errors import UsageError
from zoo.models import LinfDistMLP, fold


def net_and_images(count: int = 40):
    torch.manual_seed(0)
    net = fold(LinfDistMLP(3, width=24, in_chans=1, img_size=6, num_classes=5, std=0.4).eval())
    x_BCHW = torch.rand(count, 1, 6, 6).round(decimals=1)
    return net, x_BCHW, strict_argmax(net(x_BCHW))


@pytest.mark.parametrize("eps", ["1/255", "0.1", "1/3"])
def test_results_lie_in_the_real_ball_and_in_the_pixel_range(eps):
    net, x_BCHW, y_B = net_and_images(8)
    adversarial = zoo.attack(net, x_BCHW, y_B, eps, steps=4, restarts=2)
    for new, old in zip(adversarial.flatten().tolist(), x_BCHW.flatten().tolist(), strict=True):
        assert 0 <= new <= 1
        assert abs(Fraction(new) - Fraction(old)) <= Fraction(eps)


def test_without_clipping_pixels_may_leave_their_range():
    net, x_BCHW, y_B = net_and_images(8)
    adversarial = zoo.attack(net, x_BCHW, y_B, 0.2, steps=4, restarts=4, clip=False)
    assert bool(((adversarial < 0) | (adversarial > 1)).any())


def test_an_attack_that_leaves_the_ball_is_brought_back():
    class Far(Attack):
        def run(self, model, box, y_B):
            return torch.ones_like(box.x_BCHW) * 7

        def __str__(self):
            return "far()"

    net, x_BCHW, y_B = net_and_images(4)
    assert float((Far()(net, x_BCHW, y_B, 0.1) - x_BCHW).abs().max()) <= 0.1 + 1e-6


def test_more_steps_restarts_and_eps_break_more():
    net, x_BCHW, y_B = net_and_images()
    broken = [
        int((strict_argmax(net(PGD(steps, restarts)(net, x_BCHW, y_B, eps))) != y_B).sum())
        for eps, steps, restarts in ((0.0, 5, 1), (0.03, 2, 1), (0.03, 30, 6), (0.4, 30, 6))
    ]
    assert broken[0] == 0 and broken == sorted(broken) and broken[1] < broken[2] < broken[3]


def test_nearly_every_image_falls_well_beyond_its_certified_radius():
    net, x_BCHW, y_B = net_and_images()
    radius_B = zoo.certify(net, x_BCHW, y_B, 0).radius_B
    adversarial = PGD(50, 4)(net, x_BCHW, y_B, min(0.9, 4 * float(radius_B.max())))
    assert int((strict_argmax(net(adversarial)) != y_B).sum()) >= 0.9 * len(y_B)


def test_the_same_seed_gives_the_same_images_and_another_seed_others():
    net, x_BCHW, y_B = net_and_images(8)
    first, again, other = (
        zoo.attack(net, x_BCHW, y_B, 0.05, steps=3, restarts=3, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_what_is_found_does_not_depend_on_the_batch():
    net, pixels = zoo.load("linf_dist_mlp3.digits_eps0.1"), load_data("digits", "test").take(100)
    x_BCHW, y_B = pixels.batch(torch.arange(100))

    def attacked(order_B: torch.Tensor, size: int) -> torch.Tensor:
        parts = [
            PGD(steps=5, restarts=3)(net, x_BCHW[idx], y_B[idx], 0.1) for idx in order_B.split(size)
        ]
        return torch.empty_like(x_BCHW).index_copy(0, order_B, torch.cat(parts))

    whole = attacked(torch.arange(100), 256)
    for order_B, size in (
        (torch.arange(100), 1),
        (torch.arange(100), 7),
        (torch.randperm(100, generator=torch.Generator().manual_seed(0)), 256),
        (torch.arange(100).flip(0), 7),
    ):
        assert torch.equal(attacked(order_B, size), whole)


def test_random_starts_differ_between_images_restarts_and_seeds():
    _, x_BCHW, _ = net_and_images(8)
    noise = [_noise(x_BCHW, seed, restart) for seed, restart in ((0, 1), (0, 2), (1, 2), (-1, 2))]
    rows = torch.cat(noise).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows) == 32
    assert 0 <= float(rows.min()) < 0.05 and 0.95 < float(rows.max()) < 1


def test_the_model_is_left_as_it_was_even_when_an_attack_fails():
    net, x_BCHW, y_B = net_and_images(4)
    zoo.attack(net, x_BCHW, y_B, 0.05, steps=2, restarts=8)
    assert net.p == float("inf") and all(weight.grad is None for weight in net.parameters())
    with pytest.raises(UsageError, match="labels"):
        zoo.attack(net, x_BCHW, torch.full_like(y_B, 99), 0.05, steps=2)
    assert net.p == float("inf")


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"method": "pgdd"}, "pgd"), ({"steps": 0}, "steps"), ({"restarts": 0}, "restarts")],
)
def test_bad_settings_are_refused(settings, word):
    net, x_BCHW, y_B = net_and_images(2)
    with pytest.raises(UsageError, match=word):
        zoo.attack(net, x_BCHW, y_B, 0.1, **settings)
