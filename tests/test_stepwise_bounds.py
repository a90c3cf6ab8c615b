"""Bounds that go along a net's steps, and the best of them: their readings, and what they refuse.

Shapes: B images, K classes.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from soundness.nets import RELAXED, RELAXED_ALIKE, predictions, random_images, random_net
from torch import Tensor, nn

from zoo.bounds import Bound, PropagatedBound, base, bounds, create_bound
from zoo.bounds.base import Margins
from zoo.bounds.best import Best
from zoo.bounds.stepwise import RelaxedBound, StepwiseBound
from zoo.boxes import box
from zoo.certification import Certifier, certify
from zoo.errors import IntegrityError, UsageError
from zoo.margins import margins_of, worst
from zoo.relaxations import relaxations

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = sorted(RELAXED | RELAXED_ALIKE)


def readings(bound: Bound, net: nn.Module, x_BCHW: Tensor, y_B: Tensor, eps: float) -> list[Tensor]:
    """Naive, A and B, each asked for by itself."""
    small, large = box(x_BCHW, eps), box(x_BCHW.double(), eps)
    with torch.no_grad():
        naive_BK, deployed_BK = bound(net, small, y_B), bound.deployed(net, small, y_B)
        return [naive_BK, bound.real(net.double(), large, y_B), deployed_BK]


def test_every_stepwise_bound_is_attacked():
    stepwise = {name for name in bounds if issubclass(bounds[name], StepwiseBound | Best)}
    assert stepwise == {name for name in NAMES if ":" not in name}


def test_lines_of_every_relaxation_are_attacked():
    built = (create_bound(name) for name in NAMES)
    attacked = {type(bound.lines) for bound in built if isinstance(bound, RelaxedBound)}
    assert attacked == {kind for _, kind in relaxations.items() if not kind.random}


@pytest.mark.parametrize("name", NAMES)
def test_at_eps_zero_margins_are_the_clean_ones_less_rounding(name):
    net, x_BCHW = random_net("batch_normed", 1), random_images(1, 6)
    y_B = torch.arange(6) % 3
    with torch.no_grad():
        clean_BK = margins_of(random_net("batch_normed", 1).double()(x_BCHW.double()), y_B)
    naive_BK, real_BK, deployed_BK = readings(create_bound(name), net, x_BCHW, y_B, 0)
    for found_BK in (naive_BK, real_BK, deployed_BK):
        torch.testing.assert_close(found_BK.double(), clean_BK, rtol=0, atol=1e-4)
        assert (found_BK.gather(1, y_B[:, None]) == 0).all()
    others_BK = clean_BK != 0
    assert (real_BK < clean_BK)[others_BK].all() and (deployed_BK < real_BK)[others_BK].all()
    assert ((clean_BK - real_BK) < 1e-10).all()


@pytest.mark.parametrize("name", ["crown", "cap_ibp", "deepz", "hbox", "best"])
def test_a_sweep_gives_the_three_readings_at_each_eps(name):
    net, x_BCHW = random_net("relu", 2), random_images(2, 6)
    y_B, radii = predictions(net, x_BCHW), [Fraction(1, 20), Fraction(1, 4)]
    wide = random_net("relu", 2).double()
    bound = create_bound(name)
    with torch.no_grad():
        found = list(bound.sweep(net, wide, x_BCHW, y_B, radii, True))
    for eps, margins in zip(radii, found, strict=True):
        wanted = readings(bound, random_net("relu", 2), x_BCHW, y_B, float(eps))
        torch.testing.assert_close(margins.naive_BK, wanted[0])
        # One box serves both there, rounded outward in the program's dtype.
        torch.testing.assert_close(margins.real_BK, wanted[1], rtol=0, atol=1e-5)
        torch.testing.assert_close(margins.deployed_BK, wanted[2], rtol=0, atol=1e-5)
        assert (margins.deployed_BK <= margins.real_BK).all()
    assert (found[1].real_BK <= found[0].real_BK).all()


@pytest.mark.parametrize("name", ["interval", "crown_ibp", "cap", "hbox", "best"])
def test_a_sweep_in_parts_is_one_over_the_batch(name, monkeypatch):
    net, x_BCHW = random_net("relu", 3), random_images(3, 7)
    wide, y_B = random_net("relu", 3).double(), predictions(net, x_BCHW)
    sizes: list[int] = []

    def swept(cached: int) -> Margins:
        monkeypatch.setattr(base, "_CACHED", cached)
        with torch.no_grad():
            (found,) = create_bound(name).sweep(net, wide, x_BCHW, y_B, [Fraction(1, 9)], True)
        return found

    whole = swept(2**19)
    original = PropagatedBound._images_at_once

    def counted(self, model, x_BCHW):
        sizes.append(original(self, model, x_BCHW))
        return sizes[-1]

    monkeypatch.setattr(PropagatedBound, "_images_at_once", counted)
    parts = swept(100)
    assert sizes and all(1 <= size < 7 for size in sizes)
    for field in ("naive_BK", "real_BK", "deployed_BK"):
        torch.testing.assert_close(getattr(parts, field), getattr(whole, field), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["crown_ibp", "deepz", "best"])
def test_what_certifies_nothing_is_refused(name):
    x_BCHW, y_B = random_images(0, 2), torch.tensor([0, 1])
    training, bad = random_net("relu", 0).train(), random_net("relu", 0)
    with torch.no_grad():
        bad[3].weight[0, 0] = math.nan
    bent = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).eval()
    for net, error, word in (
        (training, UsageError, "train mode"),
        (bad, IntegrityError, "not finite"),
        (bent, UsageError, "no .* rule for layer Tanh"),
    ):
        with pytest.raises(error, match=word):
            certify(net, x_BCHW, y_B, 0.1, bound=name)
        for direct in (create_bound(name).real, create_bound(name).deployed):
            with pytest.raises(error, match=word):
                direct(net, box(x_BCHW, 0.1), y_B)


def test_the_best_bound_is_at_least_each_of_its_members_in_each_reading():
    strict = 0
    for kind, seed in (("relu", 0), ("relu", 5), ("batch_normed", 3)):
        net, x_BCHW = random_net(kind, seed), random_images(seed, 12)
        y_B = predictions(net, x_BCHW)
        best = readings(Best(), net, x_BCHW, y_B, 0.2)
        members = [
            readings(create_bound(name), random_net(kind, seed), x_BCHW, y_B, 0.2)
            for name in Best.members
        ]
        for i, found_BK in enumerate(best):
            each = torch.stack([member[i] for member in members])
            assert torch.equal(found_BK, each.amax(0))
            strict += int((found_BK > each[0]).any() and (found_BK > each[1]).any())
    assert strict > 2
    certified = Certifier(random_net("relu", 0), "best")(x_BCHW, y_B, [Fraction(1, 10)])[0]
    assert certified.bound == "best"


class Guess(PropagatedBound):
    """An estimate that promises everything, or nothing."""

    name, sound, value = "guess", False, 1.0

    def margins(self, reach, y_B):
        return torch.full((len(y_B), 3), self.value)

    real = deployed = PropagatedBound.__call__


def test_no_estimate_is_a_member_and_nan_takes_nothing_from_the_others(monkeypatch):
    class Guessing(Best):
        members = ("interval", "guess")

    net, x_BCHW = random_net("relu", 0), random_images(0, 4)
    y_B = predictions(net, x_BCHW)
    bounds["interval"]  # all are loaded
    monkeypatch.setitem(bounds._entries, "guess", Guess)
    with pytest.raises(UsageError, match="member guess is an estimate"):
        Guessing()
    monkeypatch.setattr(Guess, "sound", True)
    monkeypatch.setattr(Guess, "value", math.nan)
    within = box(x_BCHW, 0.1)
    wanted_BK = bounds["interval"]()(net, within, y_B)
    assert torch.equal(Guessing()(net, within, y_B), wanted_BK)

    class Nothing(Best):
        members = ("guess",)

    assert worst(Nothing()(net, within, y_B), y_B).isnan().all()


def test_every_bound_and_relaxation_is_in_the_page_that_lists_them():
    page = (Path(__file__).parent.parent / "docs" / "bounds.md").read_text(encoding="utf-8")
    tables = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    assert [name for name in [*bounds, *relaxations] if f"`{name}`" not in tables] == []
