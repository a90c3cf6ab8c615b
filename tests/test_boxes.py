"""Boxes: their ends around the real box, clipping, and what is no batch of pixels.

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.strategies import any_eps
from zoo.boxes import box
from zoo.errors import UsageError

quick = settings(max_examples=200, deadline=None, derandomize=True)

pixel = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 1.0, 2.0**-149, 0.5, 1 / 255]))
pixels = st.lists(pixel, min_size=1, max_size=6)


def image(values: list[float], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(values, dtype=dtype).reshape(1, 1, 1, -1)


def fractions(x: Tensor) -> list[Fraction]:
    return [Fraction(v) for v in x.flatten().tolist()]


@quick
@given(pixels, any_eps, st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_the_ends_of_a_box_hold_the_real_box_and_little_more(values, eps, clip, dtype):
    x = image(values, dtype)
    ball = box(x, eps, clip)
    assert ball.lower_BCHW.dtype == ball.upper_BCHW.dtype == dtype
    unit = Fraction(torch.finfo(dtype).eps)
    ends = fractions(x), fractions(ball.lower_BCHW), fractions(ball.upper_BCHW)
    for centre, lower, upper in zip(*ends, strict=True):
        low, high = centre - eps, centre + eps
        if clip:
            low, high = max(low, Fraction(0)), min(high, Fraction(1))
        assert low - 4 * unit <= lower <= low and high <= upper <= high + 4 * unit


@quick
@given(pixels, any_eps, st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_the_inner_ends_stay_in_the_real_box_and_hold_the_centre(values, eps, clip, dtype):
    x = image(values, dtype)
    lower_BCHW, upper_BCHW = box(x, eps, clip).inner()
    assert lower_BCHW.dtype == upper_BCHW.dtype == dtype
    unit = Fraction(torch.finfo(dtype).eps)
    ends = fractions(x), fractions(lower_BCHW), fractions(upper_BCHW)
    for centre, lower, upper in zip(*ends, strict=True):
        low, high = centre - eps, centre + eps
        if clip:
            low, high = max(low, Fraction(0)), min(high, Fraction(1))
        assert low <= lower <= min(centre, low + 4 * unit)
        assert max(centre, high - 4 * unit) <= upper <= high


def test_a_clipped_box_stays_in_the_pixel_range_and_an_unclipped_one_leaves_it():
    x = image([0.0, 0.05, 0.95, 1.0])
    clipped, free = box(x, 0.1), box(x, 0.1, clip=False)
    assert clipped.lower_BCHW.min() == 0 and clipped.upper_BCHW.max() == 1
    assert free.lower_BCHW.min() < -0.09 and free.upper_BCHW.max() > 1.09


def test_a_box_keeps_its_centre_and_exact_radius():
    x = image([0.25])
    ball = box(x, "8/255")
    assert ball.x_BCHW is x and ball.eps == Fraction(8, 255) and ball.clip


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (image([math.nan, 0.5]), "hold NaN"),
        (image([-1e-6, 0.5]), r"leave \[0, 1\]"),
        (image([1.0000001]), r"leave \[0, 1\]"),
        (image([math.inf]), r"leave \[0, 1\]"),
        (image([1]).byte(), "divide by 255"),
        (image([0.5])[0], r"\(B, C, H, W\)"),
    ],
)
def test_what_is_no_batch_of_pixels_is_refused(x, message):
    with pytest.raises(UsageError, match=message):
        box(x, 0.1)


def test_a_box_of_a_bad_radius_is_refused():
    with pytest.raises(UsageError, match="not 8"):
        box(image([0.5]), 8)
