"""Schedules, eps, box and margins: the numbers that training and certificates start from.

Shapes: B batch, K classes.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from zoo.boxes import box
from zoo.eps import format_eps, parse_eps, parse_eps_list, round_down, round_up
from zoo.errors import UsageError
from zoo.margins import margins_of, worst
from zoo.schedules import Schedule

quick = settings(max_examples=200, deadline=None, derandomize=True)
adapter = TypeAdapter(Schedule)

GRID = [i / 400 for i in range(401)]
RAMPS = ["linear", "cosine", "exponential", "smooth"]


def schedule(name: str, **fields):
    return adapter.validate_python({"name": name, **fields})


# --------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize("name", RAMPS)
@pytest.mark.parametrize(("start", "end"), [(8.0, 1000.0), (0.02, 0.0001), (0.3, 0.3)])
def test_a_ramp_goes_monotonically_from_start_to_end(name, start, end):
    ramp = schedule(name, start=start, end=end, begin=0.1, until=0.8)
    values = [ramp(t) for t in GRID]
    assert values[0] == pytest.approx(start, rel=1e-12)
    assert values[-1] == pytest.approx(end, rel=1e-12)
    steps = [(b - a) * math.copysign(1, end - start) for a, b in itertools.pairwise(values)]
    assert min(steps) >= -1e-15 * max(start, end)
    assert max(steps) > 0 or start == end


@pytest.mark.parametrize("name", RAMPS)
def test_a_ramp_holds_its_ends_outside_begin_and_until(name):
    ramp = schedule(name, start=2, end=5, begin=0.25, until=0.75)
    assert {ramp(t) for t in (0, 0.1, 0.25)} == {ramp(0)}
    assert {ramp(t) for t in (0.75, 0.9, 1)} == {ramp(1)}
    assert ramp(0) < ramp(0.5) < ramp(1)


@pytest.mark.parametrize("name", RAMPS)
def test_a_ramp_is_continuous(name):
    ramp = schedule(name, start=1, end=3, begin=0.2, until=0.7)
    # no slope of these ramps exceeds 10 a unit of t
    assert all(abs(ramp(t + 1e-6) - ramp(t)) <= 1e-5 for t in GRID)


def test_a_constant_is_one_value_throughout():
    assert {schedule("constant", value="inf")(t) for t in GRID} == {math.inf}


def test_a_line_and_a_cosine_pass_through_their_quarter_points():
    line, cosine = (schedule(n, start=1, end=3, begin=0.2, until=0.6) for n in ("linear", "cosine"))
    assert [line(t) for t in (0.3, 0.4, 0.5)] == pytest.approx([1.5, 2, 2.5])
    half = math.sqrt(0.5)
    assert [cosine(t) for t in (0.3, 0.4, 0.5)] == pytest.approx([2 - half, 2, 2 + half])


def test_an_exponential_ramp_multiplies_by_the_same_factor_each_step():
    ramp = schedule("exponential", start=8, end=1000)
    factors = [b / a for a, b in itertools.pairwise(ramp(t) for t in GRID)]
    assert factors == pytest.approx([(1000 / 8) ** (1 / 400)] * 400)


def test_then_takes_over_exactly_at_until():
    p = schedule("exponential", start=8, end=1000, begin=0.25, until=0.75, then="inf")
    assert p(0.75) == p(1) == math.inf
    assert p(math.nextafter(0.75, 0)) == pytest.approx(1000)
    assert schedule("exponential", start=8, end=1000, until=0.75)(0.75) == pytest.approx(1000)


@pytest.mark.parametrize("bend", [0.1, 0.25, 0.4, 0.9])
def test_smooth_is_a_quartic_then_a_line_joined_with_one_slope(bend):
    ramp = schedule("smooth", start=0.0, end=2.0, begin=0.2, until=0.7, bend=bend)
    # Solve for the two pieces: k u^4 meets a line through (1, 1) at u = bend in value and slope,
    # 1 - k bend^4 = 4 k bend^3 (1 - bend).
    k = float(1 / (Fraction(bend) ** 4 + 4 * Fraction(bend) ** 3 * (1 - Fraction(bend))))
    slope = 4 * k * bend**3
    for t in GRID:
        u = min(1.0, max(0.0, (t - 0.2) / 0.5))
        share = k * u**4 if u < bend else 1 - slope * (1 - u)
        assert ramp(t) == pytest.approx(2 * share, rel=1e-9, abs=1e-12)
    h, joint = 1e-6, 0.2 + 0.5 * bend
    before, after = ramp(joint) - ramp(joint - h), ramp(joint + h) - ramp(joint)
    assert before == pytest.approx(after, rel=1e-3)


@pytest.mark.parametrize("name", RAMPS)
def test_a_schedule_is_a_function_of_t_alone(name):
    ramp = schedule(name, start=1, end=3)
    forwards, backwards = [ramp(t) for t in GRID], [ramp(t) for t in reversed(GRID)]
    assert forwards == backwards[::-1]
    with pytest.raises(ValidationError, match="frozen"):
        ramp.start = 2


def test_numbers_may_be_written_as_in_yaml():
    ramp = schedule("linear", start="1e-3", end="8/255", until="0.5")
    assert (ramp.start, ramp.end, ramp.until) == (0.001, 8 / 255, 0.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "linear", "start": 0, "end": 1, "begin": 0.5, "until": 0.5}, "must come before"),
        ({"name": "smooth", "start": 0, "end": 1, "begin": 0.6, "until": 0.5}, "must come before"),
        ({"name": "linear", "start": 0, "end": 1, "until": 1.5}, "less than or equal to 1"),
        ({"name": "linear", "start": 0, "end": 1, "begin": -0.5}, "greater than or equal to 0"),
        ({"name": "linear", "start": 0, "end": "soon"}, "is not a number"),
        ({"name": "linear", "start": 0, "end": "1/0"}, "is not a number"),
        ({"name": "linear", "start": 0, "end": 1, "stop": 1}, "Extra inputs are not permitted"),
        ({"name": "linear", "start": 0, "end": 1, "then": 1}, "Extra inputs are not permitted"),
        ({"name": "linear", "start": 0}, "Field required"),
        ({"name": "linaer", "start": 0, "end": 1}, "linaer"),
        ({"name": "exponential", "start": 0, "end": 1}, "greater than 0"),
        ({"name": "smooth", "start": 0, "end": 1, "bend": 1}, "less than 1"),
        ({"start": 0, "end": 1}, "name"),
    ],
)
def test_a_bad_schedule_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        adapter.validate_python(fields)


# --------------------------------------------------------------------------------------------- eps

any_eps = st.one_of(
    st.fractions(0, 1),
    st.integers(0, 255).map(lambda n: Fraction(n, 255)),
    st.decimals(0, 1, places=6).map(Fraction),
)


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


# --------------------------------------------------------------------------------------------- box

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
        (image([0.5]).half(), "float16"),
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


# ----------------------------------------------------------------------------------------- margins


def test_margins_are_differences_to_the_label_with_its_column_zero():
    logits_BK = torch.tensor([[1.0, 4.0, 2.0], [0.5, 0.0, -1.0]])
    margins_BK = margins_of(logits_BK, torch.tensor([1, 2]))
    assert margins_BK.tolist() == [[3.0, 0.0, 2.0], [-1.5, -1.0, 0.0]]


@quick
@given(
    st.integers(2, 6).flatmap(
        lambda k: st.tuples(
            st.integers(0, k - 1), st.lists(st.floats(-9, 9, width=32), min_size=k, max_size=k)
        )
    )
)
def test_worst_is_the_least_margin_over_the_wrong_classes(case):
    label, margins = case
    wrong = [m for k, m in enumerate(margins) if k != label]
    assert worst(torch.tensor([margins]), torch.tensor([label])).item() == min(wrong)


@pytest.mark.parametrize("own", [0.0, -5.0, math.nan])
def test_worst_never_reads_the_label_s_own_column(own):
    margins_BK = torch.tensor([[own, 3.0, 2.0], [4.0, own, 5.0]])
    assert worst(margins_BK, torch.tensor([0, 1])).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("at", [0, 2, 3])
def test_a_nan_margin_of_a_wrong_class_makes_the_worst_nan(at):
    margins_BK = torch.ones(2, 4)
    margins_BK[0, at] = math.nan
    assert worst(margins_BK, torch.tensor([1, 1])).isnan().tolist() == [True, False]


def test_a_nan_logit_anywhere_makes_the_worst_margin_nan():
    for at in range(3):
        logits_BK = torch.zeros(1, 3)
        logits_BK[0, at] = math.nan
        y_B = torch.tensor([1])
        assert worst(margins_of(logits_BK, y_B), y_B).isnan().item()
