"""Zonotopes at exact corners of a box: every value, every margin, branches that meet.

Shapes: B batch, P corners, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from soundness import exact
from soundness.nets import CLASSES, random_images, random_net
from tests import oracles
from zoo.bounds import bounds
from zoo.bounds.stepwise import by_relaxation
from zoo.layers import LpDistConv2d, LpDistLinear
from zoo.propagation import steps_of, zonotope_bounds, zonotopes
from zoo.relaxations import relaxations
from zoo.rounding import BoxPart, NewSymbols
from zoo.rules import affine, enclose

NAMES = ("deepz", "hbox", "deepz_diag_c", "hbox_diag_c", "deepz_switch")


@torch.no_grad()
def hunt() -> Iterator[str]:
    for seed, name in enumerate(NAMES):
        yield from values(name, seed, torch.float32, eps=0.0)
        yield from values(name, seed, torch.float64, eps=0.3)
    for seed in range(6):
        yield from branches(seed)
        yield from picked(seed)


def values(name: str, seed: int, dtype: torch.dtype, eps: float) -> Iterator[str]:
    """In float32 at a point, where rounding is all there is; at corners of a box in float64."""
    net, x = random_net("relu", seed).to(dtype), random_images(seed, 1).to(dtype)
    if eps == 0:
        net[1].weight.mul_(100)
    steps, bound = steps_of(net)[0], bounds[name]
    source, ends = by_relaxation(relaxations[bound.relaxation]()), (x - eps, x + eps)
    found = list(zonotopes(steps, ends, source, bound.remainder, rigorous=True))
    rows = torch.cat([torch.eye(CLASSES), torch.eye(CLASSES) - torch.eye(CLASSES).roll(1, 0)])
    rows_BSK = rows[None].to(dtype)
    least_S = oracles.exactly(
        zonotope_bounds(steps, ends, rows_BSK, source, bound.remainder, rigorous=True)[0]
    )
    for corner in itertools.product((False, True), repeat=4 if eps else 1):
        at = torch.tensor(corner).expand(4).reshape(x.shape)
        value = oracles.exactly(torch.where(at, *ends))
        for i, zonotope in enumerate(found):
            lower, upper = (oracles.exactly(end) for end in zonotope.ends)
            if (value < lower).any() or (value > upper).any():
                yield f"{name}: a value outside of its zonotope in {dtype}"
            if i < len(steps):
                value = exact.forward(steps[i].layer, value)
        forms_S = [sum(map(Fraction.__mul__, row, value[0])) for row in oracles.exactly(rows)]
        if (least_S > np.array(forms_S)).any():
            yield f"{name}: a linear form of the logits is less than its bound"


def picked(seed: int) -> Iterator[str]:
    """Outputs that follow one entry each, or none, at exact corners and between them."""
    torch.manual_seed(seed)
    distance = LpDistLinear(8, 5, bias=True)
    distance.bias.data.normal_()
    distance.weight.data.mul_(0.5 if seed % 2 else 5)
    pool = nn.MaxPool2d(2, 1 + seed % 2, seed % 2)
    windows = LpDistConv2d(2, 2, 2, stride=1 + seed % 2, padding=1)
    windows.weight.data.mul_(0.5 if seed % 2 else 5)
    for last in [distance, windows, pool]:
        mixing = nn.Conv2d(2, 2, 1)  # entries that share symbols
        between = [nn.Flatten()] if last is distance else []
        net = nn.Sequential(mixing, *between, last).eval().double()
        lower = torch.randn(2, 2, 2, 2).double()
        upper = lower + torch.tensor([0.1, 2.0]).view(2, 1, 1, 1)
        steps = steps_of(net)[0]
        for remainder in NewSymbols, BoxPart:
            *_, found = zonotopes(steps, (lower, upper), _no_lines, remainder, rigorous=True)
            shares = torch.rand(30, *lower.shape, dtype=torch.float64).round(decimals=0)
            for share in shares:
                value = exact.forward(net, oracles.exactly(torch.where(share > 0, upper, lower)))
                low, high = (oracles.exactly(end) for end in found.ends)
                if (value < low).any() or (value > high).any():
                    yield f"{type(last).__name__}: a value outside of its zonotope"


def _no_lines(*_: object) -> NoReturn:
    raise AssertionError("these nets have no ReLU")


class Difference(nn.Module):
    """Where two branches meet."""


@enclose.register(Difference)
def _(layer: Difference, zonotopes, *_: object):
    first, second = zonotopes
    minus = type(second)(-second.centre, second.radius, -second.symbols, second.rigorous)
    return first + minus


def branches(seed: int) -> Iterator[str]:
    """relu(A h) - relu(B h): symbols that are new in one branch are not those of the other."""
    torch.manual_seed(seed)
    first, left, right = (nn.Linear(4, 4).double() for _ in range(3))
    steps = steps_of(nn.Sequential(first, left, nn.ReLU()))[0]
    step = type(steps[0])
    steps += [step(right, (1,), affine(right)), step(nn.ReLU(), (4,)), step(Difference(), (3, 5))]
    lower = torch.rand(1, 4).double()
    share = torch.tensor([*itertools.product((0.0, 1.0), repeat=4)]).double()
    points = lower + share
    h = first(points)
    value = left(h).relu() - right(h).relu()
    for name, remainder in itertools.product(("same_slope", "diag_c"), (NewSymbols, BoxPart)):
        source = by_relaxation(relaxations[name]())
        *_, found = zonotopes(steps, (lower, lower + 1), source, remainder)
        if _outside(value, *found.ends):
            yield f"{name}: a difference of branches lies outside of its zonotope"


def _outside(value: Tensor, lower: Tensor, upper: Tensor) -> bool:
    return bool((value < lower - 1e-12).any() or (value > upper + 1e-12).any())
