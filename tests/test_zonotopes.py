"""Zonotopes, pure and hybrid: what they enclose, what they equal, what they refuse.

Shapes: B images, K classes, S rows, P points; ``...`` the shape of a value without its batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from soundness import exact
from soundness.nets import RELAXED, RELAXED_ALIKE, random_images, random_net
from torch import Tensor, nn

import zoo.bounds.zonotope
from tests import oracles
from zoo.bounds import bounds, create_bound
from zoo.bounds.stepwise import by_relaxation
from zoo.bounds.zonotope import ZonotopeBound
from zoo.boxes import box
from zoo.errors import UsageError
from zoo.layers import Add
from zoo.margins import margins_of
from zoo.propagation import (
    Reach,
    Step,
    interval_ends,
    lower_bounds,
    steps_of,
    zonotope_bounds,
    zonotopes,
)
from zoo.relaxations import Relaxation, Slopes, relaxations
from zoo.rounding import REAL, BoxPart, Ends, NewSymbols, Zonotope
from zoo.rules import affine

pytestmark = pytest.mark.usefixtures("one_thread")
BOUNDS = {name: create_bound(name) for name in RELAXED | RELAXED_ALIKE}
NAMES = [
    name for name, bound in BOUNDS.items() if type(bound).__module__ == ZonotopeBound.__module__
]
KINDS = ["relu", "batch_normed"]


def case(kind: str, seed: int, eps: float = 0.1) -> tuple[nn.Module, list[Step], Ends]:
    """A net in float64, its steps, and boxes around four images."""
    net = random_net(kind, seed).double()
    around = box(random_images(seed, 4).double(), eps)
    return net, steps_of(net)[0], (around.lower_BCHW, around.upper_BCHW)


def walk(name: str, steps: Sequence[Step], ends: Ends, **options) -> list[Zonotope]:
    bound = BOUNDS[name]
    source = by_relaxation(bound.lines)
    given = interval_ends(steps, ends, **({"reading": REAL} if options else {}))
    given = given if bound.by_intervals else None
    return list(zonotopes(steps, ends, source, bound.remainder, given, **options))


def points_of(lower: Tensor, upper: Tensor) -> Tensor:
    """Corners and random points of each box, (P, B, ...)."""
    corners = torch.tensor([*itertools.product((0.0, 1.0), repeat=lower[0].numel())])
    share = torch.cat([corners, torch.rand(40, corners.shape[1])]).to(lower.dtype)
    share = share.reshape(-1, 1, *lower.shape[1:])
    return lower + share * (upper - lower)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_points_lies_inside(name, kind):
    for seed, eps in ((0, 0.1), (1, 0.4), (2, 0.0)):
        net, steps, ends = case(kind, seed, eps)
        points = points_of(*ends)
        values = points.flatten(0, 1)
        for i, zonotope in enumerate(walk(name, steps, ends, rigorous=True)):
            lower, upper = zonotope.ends
            at = values.unflatten(0, points.shape[:2])
            assert (at >= lower - 1e-13).all() and (at <= upper + 1e-13).all(), steps[i - 1]
            values = steps[i].layer(values) if i < len(steps) else values
        y_B = torch.arange(4) % 3
        around = box(random_images(seed, 4).double(), eps)
        margins_BK = create_bound(name).real(net, around, y_B)
        for point in points:
            assert (margins_of(net(point), y_B) >= margins_BK - 1e-13).all()


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, torch.float32) for name in NAMES), ("deepz", torch.float64), ("hbox", torch.float64)],
)
def test_rigorous_ends_hold_exact_values_at_exact_corners(name, dtype):
    """In float32 too, where rounding is large enough to be seen."""
    used = 0.0
    for seed in range(2):
        net = random_net("relu", seed).to(dtype)
        steps, x = steps_of(net)[0], random_images(seed, 1).to(dtype)
        for ends in ((x, x), (x * 0.9, x * 1.1)):
            rigorous, naive = walk(name, steps, ends, rigorous=True), walk(name, steps, ends)
            for corner in itertools.product((0, 1), repeat=4):
                at = torch.tensor(corner).reshape(x.shape).bool()
                value = oracles.exactly(torch.where(at, *ends))
                for i, zonotope in enumerate(rigorous):
                    lower, upper = (oracles.exactly(end) for end in zonotope.ends)
                    assert (lower <= value).all() and (value <= upper).all()
                    if ends[0] is ends[1]:
                        computed = oracles.exactly(naive[i].centre)
                        room = np.abs(upper - computed).astype(float) + 1e-300
                        used = max(used, (np.abs(value - computed).astype(float) / room).max())
                    value = exact.forward(steps[i].layer, value) if i < len(steps) else value
    assert 1e-3 < used <= 1  # the slack is a bound for any order of sums


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_deepz_is_the_backward_bound_with_its_lines_over_its_ends(kind):
    source = by_relaxation(relaxations["same_slope"]())
    for seed in range(4):
        _, steps, ends = case(kind, seed, 0.2)
        found = walk("deepz", steps, ends)
        own = [zonotope.ends for zonotope in found]
        for at, (lower, upper) in enumerate(own):
            count = lower[0].numel()
            unit = torch.eye(count, dtype=lower.dtype).view(1, count, *lower.shape[1:])
            rows = unit.expand(4, *unit.shape[1:])
            least, most = (lower_bounds(steps, own, r, at, source) for r in (rows, -rows))
            torch.testing.assert_close(least.view_as(lower), lower, rtol=0, atol=1e-12)
            torch.testing.assert_close(-most.view_as(upper), upper, rtol=0, atol=1e-12)
        assert any((z.symbols.shape[1] > ends[0][0].numel()) for z in found)  # not all were stable


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_hybrid_boxes_are_never_wider_than_intervals(kind):
    narrower = 0
    for seed in range(6):
        net, steps, ends = case(kind, seed, 0.2)
        around, y_B = box(random_images(seed, 4).double(), 0.2), torch.arange(4) % 3
        hybrid_BK, interval_BK = (bounds[n]()(net, around, y_B) for n in ("hbox", "interval"))
        assert (hybrid_BK >= interval_BK - 1e-12).all()
        for zonotope, (lower, upper) in zip(
            walk("hbox", steps, ends), interval_ends(steps, ends), strict=True
        ):
            low, high = zonotope.ends
            assert (low >= lower - 1e-12).all() and (high <= upper + 1e-12).all()
            narrower += int((high < upper - 1e-3).sum())
    assert narrower > 20


@torch.no_grad()
def test_pure_zonotopes_lose_nothing_to_their_hybrids_over_the_same_ends():
    for seed in range(4):
        _, steps, ends = case("relu", seed, 0.2)
        given = interval_ends(steps, ends)
        for name in ("same_slope", "box", "diag", "diag_c", "switch"):
            source = by_relaxation(relaxations[name]())
            pure, hybrid = (
                [z.ends for z in zonotopes(steps, ends, source, remainder, given)]
                for remainder in (NewSymbols, BoxPart)
            )
            for (low, high), (lower, upper) in zip(pure, hybrid, strict=True):
                assert (low >= lower - 1e-12).all() and (high <= upper + 1e-12).all()


@torch.no_grad()
def test_a_last_layer_is_elided():
    _, steps, ends = case("relu", 0, 0.2)
    source = by_relaxation(relaxations["same_slope"]())
    *_, logits = zonotopes(steps, ends, source, NewSymbols)
    rows_BSK = torch.tensor([[1.0, -1, 0], [1, 0, -1]]).double().expand(4, 2, 3)
    found_BS = zonotope_bounds(steps, ends, rows_BSK, source, NewSymbols)
    spread_BS = (rows_BSK @ logits.symbols.mT).abs().sum(2)
    wanted_BS = (rows_BSK @ logits.centre[..., None])[..., 0] - spread_BS
    torch.testing.assert_close(found_BS, wanted_BS)  # the same, as affine layers lose nothing
    boxed_BS = zonotope_bounds(steps, ends, rows_BSK, source, BoxPart)
    *_, boxed = zonotopes(steps, ends, source, BoxPart)
    lower, upper = boxed.ends
    apart_BS = lower[:, :1] - upper[:, 1:]
    assert (boxed_BS >= apart_BS - 1e-12).all() and (boxed_BS > apart_BS + 1e-3).any()


def test_symbols_are_as_many_as_there_are_things_to_tell_apart():
    _, steps, (lower, upper) = case("relu", 3, 0.3)
    lower = torch.where(torch.arange(4).reshape(1, 1, 2, 2) == 1, upper, lower)
    first, *_, last = walk("deepz", steps, (lower, upper))
    assert first.symbols.shape[1] == 3
    given = [zonotope.ends for zonotope in walk("deepz", steps, (lower, upper))]
    unstable = [
        ((given[j][0] < 0) & (given[j][1] > 0)).flatten(1).sum(1).max()
        for step in steps
        if step.affine is None
        for j in step.inputs
    ]
    assert last.symbols.shape[1] == 3 + sum(unstable)
    assert walk("hbox", steps, (lower, upper))[-1].symbols.shape[1] == 3
    assert walk("deepz", steps, (upper, upper))[-1].symbols.shape[1] == 0


@torch.no_grad()
@pytest.mark.parametrize("name", ["deepz", "deepz_diag_c", "hzono"])
def test_branches_share_what_they_have_in_common_and_nothing_else(name):
    bound = BOUNDS[name]
    source = by_relaxation(bound.lines)
    for seed in range(5):
        torch.manual_seed(seed)
        first, left, right = (nn.Linear(4, 4).double() for _ in range(3))
        inputs = [(first, 0), (left, 1), (nn.ReLU(), 2), (right, 1), (nn.ReLU(), 4)]
        steps = [Step(f, (j,), affine(f) if f in affine else None) for f, j in inputs]
        steps.append(Step(Add(), (3, 5)))
        steps += [Step(Add(), (6, 1))]
        lower = torch.rand(3, 4).double()
        ends = lower, lower + 0.7
        *_, found = zonotopes(steps, ends, source, bound.remainder, rigorous=True)
        h = first(points_of(*ends))
        values = left(h).relu() + right(h).relu() + h
        low, high = found.ends
        assert (values >= low - 1e-13).all() and (values <= high + 1e-13).all()
        apart = [torch.rand(4).double() - 0.5 for _ in range(2)]
        for a in apart:  # any linear form too: symbols may not be tied
            centre, spread = found.centre @ a, (found.symbols @ a).abs().sum(1)
            spread = spread + found.radius @ a.abs()
            assert ((values @ a) <= centre + spread + 1e-13).all()
    minus = nn.Linear(4, 4).double()
    minus.weight.copy_(-torch.eye(4))
    minus.bias.zero_()
    steps = [Step(minus, (0,), affine(minus)), Step(Add(), (1, 0))]
    *_, nothing = zonotopes(steps, ends, source, bound.remainder)
    assert (nothing.spread == 0).all() and (nothing.centre == 0).all()


@pytest.mark.parametrize("name", ["deepz", "hbox", "hbox_diag_c", "deepz_soft"])
def test_bounds_are_differentiable_in_the_weights(name):
    net, *_ = case("relu", 1)
    x_BCHW, y_B = random_images(1, 2).double(), torch.tensor([0, 2])

    def worst_case(weight: Tensor) -> Tensor:
        changed = {"1.weight": weight}
        steps = _steps_with(net, changed)
        around = box(x_BCHW, 0.1)
        reach = Reach(steps, (around.lower_BCHW, around.upper_BCHW))
        return create_bound(name).margins(reach, y_B)

    weight = net[1].weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(worst_case, (weight,), eps=1e-7, atol=1e-5)


def _steps_with(net: nn.Module, changed: dict[str, Tensor]) -> list[Step]:
    steps, _ = steps_of(net)
    weight = changed["1.weight"]
    first = steps[1].affine
    assert first is not None
    return [steps[0], Step(steps[1].layer, (1,), _replaced(first, weight)), *steps[2:]]


def _replaced(layer, weight: Tensor):
    return type(layer)(layer.product, weight, layer.bias, layer.num_terms, layer.pulled)


def test_in_train_mode_a_batch_norm_has_the_statistics_of_the_clean_batch():
    net, x_BCHW, y_B = (
        random_net("batch_normed", 0).train(),
        random_images(0, 6),
        torch.arange(6) % 3,
    )
    margins_BK = bounds["deepz"]()(net, box(x_BCHW, 0.01), y_B)
    margins_BK.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    norm = net[1]
    with torch.no_grad():
        clean = net[0](x_BCHW)
        norm.running_mean.copy_(clean.mean((0, 2, 3)))
        norm.running_var.copy_(clean.var((0, 2, 3), correction=0))
        wanted_BK = bounds["deepz"]()(net.eval(), box(x_BCHW, 0.01), y_B)
    torch.testing.assert_close(margins_BK.detach(), wanted_BK, rtol=1e-4, atol=1e-5)


def test_large_batches_are_taken_in_parts(monkeypatch):
    net, x_BCHW, y_B = random_net("batch_normed", 2), random_images(2, 9), torch.arange(9) % 3
    within = box(x_BCHW, 0.1)
    whole_BK = bounds["deepz"]()(net, within, y_B)
    asked = []
    at_once = ZonotopeBound._part_size
    monkeypatch.setattr(
        ZonotopeBound, "_part_size", lambda *args: asked.append(at_once(*args)) or asked[-1]
    )
    monkeypatch.setattr(zoo.bounds.zonotope, "_LARGEST", 1500)
    torch.testing.assert_close(bounds["deepz"]()(net, within, y_B), whole_BK)
    assert 1 <= asked[0] < 9
    monkeypatch.setattr(zoo.bounds.zonotope, "_LARGEST", 40)
    with pytest.raises(UsageError, match="numbers a layer"):
        bounds["deepz"]()(net, within, y_B)


def test_lines_of_two_slopes_and_layers_without_a_rule_are_refused():
    _, steps, ends = case("relu", 0)
    with pytest.raises(UsageError, match="one slope"):
        list(zonotopes(steps, ends, by_relaxation(relaxations["adaptive"]()), NewSymbols))
    steps, _ = steps_of(nn.Sequential(nn.Flatten(), nn.Tanh()))
    with pytest.raises(UsageError, match="no enclose rule for layer Tanh"):
        list(zonotopes(steps, ends, by_relaxation(relaxations["box"]()), NewSymbols))


def test_too_many_symbols_for_a_bound_on_rounding_are_refused():
    wide = Zonotope(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 90000, 1), rigorous=True)
    with pytest.raises(UsageError, match="no rounding bound"):
        _ = wide.ends


def test_ends_that_are_not_numbers_enclose_nothing():
    _, steps, (lower, upper) = case("relu", 0)
    lower = lower.index_fill(0, torch.tensor([1]), torch.nan)
    for name in NAMES:
        *_, last = walk(name, steps, (lower, upper))
        low, high = last.ends
        assert low[1].isnan().all() and high[1].isnan().all() and low[[0, 2, 3]].isfinite().all()


class Tilted(Relaxation):
    """What a user may write: one slope for all neurons that are not stable."""

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = False
    parallel: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        slope = torch.where((lower >= 0) | (upper <= 0), (lower >= 0).to(lower.dtype), 0.3)
        return Slopes(slope, slope)


def test_a_relaxation_of_one_s_own_serves_zonotopes_and_linear_bounds():
    net, steps, ends = case("relu", 0, 0.2)
    source = by_relaxation(Tilted())
    rows_BSK = torch.tensor([[1.0, -1, 0], [1, 0, -1]]).double().expand(4, 2, 3)
    with torch.no_grad():
        forms = partial(torch.einsum, "bsk,pbk->pbs", rows_BSK)
        least_BS = forms(torch.stack([net(point) for point in points_of(*ends)])).amin(0)
        for found_BS in (
            zonotope_bounds(steps, ends, rows_BSK, source, NewSymbols, rigorous=True),
            lower_bounds(
                *(steps, interval_ends(steps, ends, REAL), rows_BSK, len(steps), source),
                rigorous=True,
            ),
        ):
            assert (found_BS <= least_BS).all() and (found_BS > least_BS - 1).all()
