"""Relaxations: lines that enclose the ReLU whatever the ends, slopes as published, jumps as stated.

Shapes: N intervals.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoo.relaxations import Lines, Relaxation, Slopes, lines, relaxations

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = list(relaxations)
DTYPES = [torch.float32, torch.float64]


def intervals(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Ends at 0, equal, opposite, a float apart, huge and tiny, and random ones of all sizes."""
    info = torch.finfo(dtype)
    huge, tiny, least = info.max, info.tiny, info.smallest_normal * info.eps
    ends = [0.0, 1.0, 1 + info.eps, 3.0, 1 / 3, huge, huge / 2, tiny, least]
    pairs = [(a, b) for a, b in itertools.product([-e for e in ends] + ends, repeat=2) if a <= b]
    edge = torch.tensor(pairs, dtype=dtype)
    g = torch.Generator().manual_seed(0)
    size = 10 ** (8 * torch.rand(150, 2, generator=g) - 4)
    wild = (torch.randn(150, 2, generator=g) * size).sort(1).values.to(dtype)
    return tuple(torch.cat([edge, wild]).T)


def unbound(name: str, lower: Tensor, upper: Tensor, *, rigorous: bool) -> list[str]:
    """Where exact rational lines leave the ReLU: they need only be right at l, 0 and u."""
    found = lines(relaxations[name]()(lower, upper), lower, upper, rigorous=rigorous)
    wrong = []
    rows = zip(lower.tolist(), upper.tolist(), *(line.tolist() for line in found), strict=True)
    for low, high, *line in rows:
        if not all(map(math.isfinite, line)):
            assert max(abs(low), abs(high)) > 1e38, "only what overflows may have no lines"
            continue
        below, under, above, over = map(Fraction, line)
        places = [Fraction(low), Fraction(high)] + [Fraction(0)] * (low < 0 < high)
        # Without rigour, offsets may be off by the rounding of a product and a difference.
        slack = 0 if rigorous else Fraction(max(abs(low), abs(high))) / 10**6 + Fraction(1, 2**120)
        for z in places:
            relu = max(z, Fraction(0))
            if not below * z + under - slack <= relu <= above * z + over + slack:
                wrong.append(f"{name} on [{low}, {high}] at {float(z)}")
    return wrong


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_lines_enclose_the_relu(name, dtype):
    assert not unbound(name, *intervals(dtype), rigorous=True)
    assert not unbound(name, *intervals(dtype), rigorous=False)


@given(st.lists(st.tuples(*[st.floats(-(2.0**99), 2.0**99, width=32)] * 2), min_size=1, max_size=8))
def test_lines_enclose_the_relu_on_any_interval(pairs):
    ends = torch.tensor(pairs, dtype=torch.float32).sort(1).values
    for name in NAMES:
        assert not unbound(name, *ends.T, rigorous=True)


@pytest.mark.parametrize("name", NAMES)
def test_ends_that_are_not_numbers_give_no_lines(name):
    for ends in ((math.nan, 1.0), (-1.0, math.nan), (math.nan, math.nan)):
        lower, upper = (torch.tensor([end]) for end in ends)
        found = lines(relaxations[name]()(lower, upper), lower, upper)
        assert found.lower_offset.isnan() and found.upper_offset.isnan()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_numbers_at_every_interval(name):
    lower, upper = (end.requires_grad_() for end in intervals(torch.float64))
    moderate = (lower.abs() < 1e20) & (upper.abs() < 1e20) & (upper - lower > 1e-8)
    found = lines(relaxations[name]()(lower, upper), lower, upper)
    total = sum(line[moderate].sum() for line in found)
    for grad in torch.autograd.grad(total, (lower, upper)):
        assert grad[moderate].isfinite().all()


# ------------------------------------------------------------------------------------------- slopes


def published(name: str, low: float, high: float) -> tuple[float | None, float | None]:
    """Lower and upper slope as the literature has them; None is any number."""
    chord, crossing = high / (high - low), low < 0 < high
    exact = float(low >= 0)
    soft = 1 / (1 + math.exp(high / low - low / high)) if crossing else None
    larger = float(high > -low)
    if not crossing:
        lower = {"zero_c": 0, "zero_tria_c": 0, "one_c": 1, "one_tria_c": 1, "diag_c": 1}
        upper = {"zero_tria_c": 1, "one_tria_c": 0, "diag_c": 1}
        return lower.get(name, exact), upper.get(name, exact)
    return {
        "adaptive": (larger, chord),
        "same_slope": (chord, chord),
        "zero": (0, chord),
        "zero_c": (0, chord),
        "one": (1, chord),
        "one_c": (1, chord),
        "zero_tria": (0, 1),
        "zero_tria_c": (0, 1),
        "one_tria": (1, 0),
        "one_tria_c": (1, 0),
        "soft": (soft, chord),
        "soft_slope": (soft, soft),
        "uniform": (None, chord),
        "binary": (None, chord),
        "box": (0, 0),
        "diag": (1, 1),
        "diag_c": (1, 1),
        "switch": (larger, larger),
        "slanted": (chord / 2, chord / 2),
    }[name]


@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_the_published_ones(name):
    for low, high in ((-1.0, 2.0), (-2.0, 1.0), (-0.3, 0.4), (0.5, 2.0), (-2.0, -0.5), (-1.0, 7.0)):
        slopes = relaxations[name]()(torch.tensor([low]), torch.tensor([high]))
        for slope, wanted in zip(slopes, published(name, low, high), strict=True):
            if wanted is not None:
                assert slope.item() == pytest.approx(wanted, abs=1e-5)
        assert (slopes.lower is slopes.upper) == relaxations[name].parallel


def test_offsets_of_zonotopes_are_the_published_ones():
    """Centre shift and half-width mu: -s l / 2, u / 2, -l / 2, and the larger of two for others."""
    lower, upper = (
        torch.tensor([-1.0, -3.0], dtype=torch.float64),
        torch.tensor([2.0, 1.0]).double(),
    )
    chord = upper / (upper - lower)
    halves = {"same_slope": -chord * lower / 2, "box": upper / 2, "diag": -lower / 2}
    halves |= {"diag_c": -lower / 2, "slanted": (1 - chord / 2) * upper / 2}
    for name, half in halves.items():
        found = lines(relaxations[name]()(lower, upper), lower, upper)
        torch.testing.assert_close(found.lower_offset, torch.zeros_like(half), atol=1e-15, rtol=0)
        torch.testing.assert_close(found.upper_offset, 2 * half)


def test_dead_neurons_have_tighter_lines_than_published_where_slopes_stay_1():
    lower, upper = torch.tensor([-4.0]), torch.tensor([-1.0])
    for name in ("one_c", "one_tria_c", "diag_c"):
        found = lines(relaxations[name]()(lower, upper), lower, upper)
        assert (found.lower_slope.item(), found.lower_offset.item()) == (
            1,
            1,
        )  # published: offset 0


def test_random_slopes_are_drawn_at_every_call():
    lower, upper = -torch.ones(4000), torch.ones(4000)
    uniform, binary = (relaxations[name]() for name in ("uniform", "binary"))
    assert {name for name in NAMES if relaxations[name].random} == {"uniform", "binary"}
    torch.manual_seed(0)
    first, second = uniform(lower, upper).lower, uniform(lower, upper).lower
    torch.manual_seed(0)
    assert torch.equal(first, uniform(lower, upper).lower) and not torch.equal(first, second)
    assert first.min() < 0.05 and first.max() > 0.95 and abs(first.mean() - 0.5) < 0.03
    drawn = binary(lower, upper).lower
    assert set(drawn.tolist()) == {0.0, 1.0} and abs(drawn.mean() - 0.5) < 0.03


def test_parameters_go_from_one_relaxation_to_another():
    ends = tuple(end[-150:] for end in intervals(torch.float64))
    for own, limit in (
        (relaxations["slanted"](kappa=0.0), "box"),
        (relaxations["slanted"](kappa=1.0), "same_slope"),
        (relaxations["soft"](gamma=1e9), "adaptive"),
        (relaxations["soft_slope"](gamma=1e9), "switch"),
    ):
        torch.testing.assert_close(own(*ends).lower, relaxations[limit]()(*ends).lower)


# --------------------------------------------------------------------------------------- continuity


def jump(name: str, at: str, step: float) -> float:
    """How far lines move where l, u or u + l goes through 0 by a step on either side."""
    before, after = {
        "l = 0": ((-step, 1.5), (step, 1.5)),
        "u = 0": ((-1.5, -step), (-1.5, step)),
        "u = -l": ((-1.5, 1.5 - step), (-1.5, 1.5 + step)),
    }[at]
    found: list[Lines] = []
    for ends in (before, after):
        lower, upper = (torch.tensor([end], dtype=torch.float64) for end in ends)
        found.append(lines(relaxations[name]()(lower, upper), lower, upper))
    return max((a - b).abs().item() for a, b in zip(*found, strict=True))


PLACES = {  # where the others jump
    "adaptive": {"u = -l"},
    "zero": {"l = 0"},
    "one": {"u = 0"},
    "zero_tria": {"l = 0", "u = 0"},
    "one_tria": {"l = 0", "u = 0"},
    "box": {"l = 0"},
    "diag": {"u = 0"},
    "switch": {"u = -l"},
    "slanted": {"l = 0"},
}


@pytest.mark.parametrize("name", [name for name in NAMES if not relaxations[name].random])
def test_lines_jump_where_they_are_said_to_and_nowhere_else(name):
    found = set()
    for at in ("l = 0", "u = 0", "u = -l"):
        jumps = [jump(name, at, 10.0**-k) for k in range(3, 12)]
        if jumps[-1] > 0.1:
            found.add(at)
        else:
            assert all(size <= 20 * 10.0**-k for k, size in enumerate(jumps, 3)), (at, jumps)
    assert found == PLACES.get(name, set())
    assert relaxations[name].continuous == (not found)


# -------------------------------------------------------------------------------------- one's own


class Third(Relaxation):
    """What a user may write."""

    continuous: ClassVar[bool] = True
    rational: ClassVar[bool] = False

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(torch.full_like(lower, 1 / 3), torch.full_like(upper, 2 / 3))


def test_a_relaxation_of_one_s_own_needs_its_slopes_alone():
    relaxations.register("third")(Third)
    try:
        assert not unbound("third", *intervals(torch.float32), rigorous=True)
        assert "third" in relaxations
    finally:
        del relaxations._entries["third"]
