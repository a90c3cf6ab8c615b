"""Schedules: their shapes, their ends, and what is refused."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from pydantic import TypeAdapter, ValidationError

from zoo.schedules import Schedule

adapter = TypeAdapter(Schedule)

GRID = [i / 400 for i in range(401)]
RAMPS = ["linear", "cosine", "exponential", "smooth"]


def schedule(name: str, **fields):
    return adapter.validate_python({"name": name, **fields})


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


def test_a_staircase_takes_the_nearest_of_its_values_by_ratio():
    values = [8, 12, 16, 24, 1000]
    fields = {"start": 8, "end": 1000, "begin": 0.1, "until": 0.8}
    steps = schedule("staircase", **fields, values=values, then=math.inf)
    smooth = schedule("exponential", **fields)
    for t in (t for t in GRID if t < 0.8):
        ratios = {value: max(value / smooth(t), smooth(t) / value) for value in values}
        assert ratios[steps(t)] == min(ratios.values())
    assert {steps(t) for t in GRID if t < 0.8} == set(values)
    assert {steps(t) for t in (0.8, 1)} == {math.inf}


@pytest.mark.parametrize("values", [[], [0], [-1.0]])
def test_a_staircase_needs_positive_values(values):
    with pytest.raises(ValidationError):
        schedule("staircase", start=8, end=1000, values=values)


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
