"""Eps: read and written exactly, rounded the named way, and refused with its unit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import any_eps
from zoo.eps import format_eps, parse_eps, parse_eps_list, round_down, round_up
from zoo.errors import UsageError

quick = settings(max_examples=200, deadline=None, derandomize=True)


@quick
@given(any_eps)
def test_eps_survives_being_written_and_read(eps):
    assert parse_eps(format_eps(eps)) == eps


@quick
@given(st.floats(0, 1))
def test_a_float_means_the_decimal_that_it_prints(eps):
    assert parse_eps(eps) == parse_eps(repr(eps)) == Fraction(repr(eps))


def test_a_numpy_float_means_the_decimal_that_it_prints():
    assert parse_eps(np.float64(0.3)) == Fraction(3, 10)


@pytest.mark.parametrize(
    ("eps", "text"),
    [("0", "0"), (1, "1"), ("0.30", "0.3"), ("8/255", "8/255"), ("1/7", "1/7"), ("1/5", "0.2")],
)
def test_eps_is_written_the_usual_way(eps, text):
    assert format_eps(parse_eps(eps)) == text


@quick
@given(st.one_of(any_eps, st.fractions()))
def test_rounding_goes_the_named_way_and_less_than_one_unit(value):
    up, down = round_up(value), round_down(value)
    assert Fraction(down) <= value <= Fraction(up)
    below, above = math.nextafter(up, -math.inf), math.nextafter(down, math.inf)
    assert Fraction(below) < value < Fraction(above)


def test_rounding_keeps_floats_and_moves_their_neighbours():
    tiny = Fraction(1, 10**400)
    assert round_up(Fraction(0.3)) == round_down(Fraction(0.3)) == 0.3
    assert round_up(Fraction(0.3) + tiny) == math.nextafter(0.3, 1)
    assert round_down(Fraction(0.3) - tiny) == math.nextafter(0.3, 0)
    assert round_up(tiny) == 5e-324 and round_down(-tiny) == -5e-324


def test_a_range_has_both_ends_and_exact_steps():
    values = parse_eps_list(["0:0.4:41", "8/255", 0.5])
    assert values[:41] == [Fraction(i, 100) for i in range(41)]
    assert values[41:] == [Fraction(8, 255), Fraction(1, 2)]


@pytest.mark.parametrize("text", ["0:1", "0:1:1", "0:1:x", "0:1:-3", "0:1:2:3", "0:1:"])
def test_a_malformed_range_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"start:stop:count\n.*0:0.4:41"):
        parse_eps_list([text])


@pytest.mark.parametrize("eps", [-1, 2, "-0.1", "256/255", 1.0000001, -5e-324])
def test_an_eps_outside_the_pixel_range_is_refused_with_the_unit(eps):
    with pytest.raises(UsageError, match=r"is outside \[0, 1\]\n.*8/255, not 8"):
        parse_eps(eps)


@pytest.mark.parametrize("eps", ["8/0", "abc", "", math.nan, math.inf, None, [0.1]])
def test_what_is_no_number_is_refused_as_eps(eps):
    with pytest.raises(UsageError, match=r"is not a number\n.*8/255"):
        parse_eps(eps)
