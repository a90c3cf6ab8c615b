"""Linear forms pulled back through layers and nets hold at points of the box; so do drifts.

Shapes: B batch, S rows, P points, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from soundness import exact
from soundness.hunts.layers import _points, single
from soundness.nets import random_images, random_net
from tests import oracles
from zoo.bounds import create_bound
from zoo.bounds.linear import by_relaxation
from zoo.boxes import box
from zoo.layers import (
    Add,
    HalfDifference,
    LocalMin,
    LpDistConv2d,
    LpDistLinear,
    MaxMin,
    MeanShift,
    PrunedLinfDistLinear,
    SortDistLinear,
)
from zoo.propagation import interval_ends, lower_bounds, steps_of, tightened_ends
from zoo.relaxations import relaxations
from zoo.rounding import REAL, Ends
from zoo.rules import affine, affine_drift, drift, expand, pull

NETS = (
    *("residual", "pooled", "folded", "normalized", "conv", "distconv", "parts"),
    *("sorted", "stem"),
)
ROWS = 6


@torch.no_grad()
def hunt() -> Iterator[str]:
    for seed in range(2):
        for layer, shape in single(seed):
            if layer in affine or layer in pull or layer in expand:
                g = torch.Generator().manual_seed(seed)
                centre = torch.rand(2, *shape, generator=g) - 0.5 * (seed % 2)
                radius = 0.3 * torch.rand(centre.shape, generator=g)
                yield from forms(layer.eval(), centre - radius, centre + radius, seed)
        yield from drifts(seed)
    for seed, kind in enumerate(NETS):
        yield from margins(kind, seed)


def forms(layer: nn.Module, lower: Tensor, upper: Tensor, seed: int) -> Iterator[str]:
    """Rigorous bounds of forms over one layer's outputs, against its exact values."""
    layer, name = layer.double(), type(layer).__name__
    steps, ends = steps_of(layer)[0], (lower.double(), upper.double())
    found = interval_ends(steps, ends, REAL)
    source = by_relaxation(relaxations["adaptive"]())
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, ROWS, *found[-1][0].shape[1:], generator=generator, dtype=torch.float64)
    bound_BS = lower_bounds(steps, found, rows, len(steps), source, rigorous=True)
    rows_BSD = oracles.exactly(rows.flatten(2))
    points = _points(*ends).double()
    for b in range(2):
        y_PD = exact.forward(layer, oracles.exactly(points[:, b])).reshape(len(points), -1)
        if ((y_PD @ rows_BSD[b].T).min(0) < oracles.exactly(bound_BS[b])).any():
            yield f"{name}: a form over its outputs is smaller than its bound"


def margins(kind: str, seed: int) -> Iterator[str]:
    """Rigorous margins of both notions at exact and at float points, and ends by such bounds."""
    net, x_BCHW = random_net(kind, seed), random_images(seed, 3)
    y_B, around = torch.arange(3) % 3, box(x_BCHW, "1/10", clip=bool(seed % 2))
    points = _points(around.lower_BCHW, around.upper_BCHW)
    wide = [_margins(exact.forward(net, oracles.exactly(p)), y_B) for p in points]
    program = [_margins(net(p).double().numpy(), y_B) for p in points]
    for name in ("crown_ibp", "cap"):
        found = next(
            create_bound(name).sweep(net, _twin(net), x_BCHW, y_B, [around.eps], around.clip)
        )
        if (np.min(wide, 0) < oracles.exactly(found.real_BK)).any():
            yield f"{name}, {kind}: an exact margin is smaller than its bound"
        if (np.min(program, 0) < found.deployed_BK.double().numpy()).any():
            yield f"{name}, {kind}: a margin of the program is smaller than its bound"
    steps, _ = steps_of(_twin(net))
    ends = around.lower_BCHW.double(), around.upper_BCHW.double()
    source = by_relaxation(relaxations["adaptive"]())
    lower_BK, upper_BK = tightened_ends(steps, ends, source, rigorous=True)[-1]
    logits = np.array([exact.forward(net, oracles.exactly(p)) for p in points[:: len(points) // 4]])
    if (logits < oracles.exactly(lower_BK)).any() or (logits > oracles.exactly(upper_BK)).any():
        yield f"{kind}: a logit lies outside of its ends"


def _margins(logits_BK: np.ndarray, y_B: Tensor) -> np.ndarray:
    return logits_BK[np.arange(len(y_B)), y_B.numpy()][:, None] - logits_BK


def _twin(net: nn.Module) -> nn.Module:
    return copy.deepcopy(net).double()


def drifts(seed: int) -> Iterator[str]:
    """A program whose inputs are off by errors is off by no more than is said."""
    g = torch.Generator().manual_seed(seed)
    dist, shift = LpDistLinear(4, 3, bias=True), MeanShift(4)
    windows = LpDistConv2d(1, 2, 2, padding=1, bias=True)
    pruned, sort = PrunedLinfDistLinear(4, 2, 5), SortDistLinear(4, 3, rho=0.7, k=3, bias=True)
    pruned.set_edges(torch.randn(2, 4, generator=g), torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]]) > 0)
    for layer in (dist, windows, pruned, sort):
        layer.bias.normal_(generator=g)
    shift.running_mean_O.normal_(generator=g)
    cases: list[tuple[nn.Module, int, tuple[int, ...]]] = [
        (dist, 1, (4,)),
        (windows, 1, (1, 2, 2)),
        (pruned, 1, (4,)),
        (sort, 1, (4,)),
        (MaxMin(), 1, (4,)),
        (LocalMin(2), 1, (1, 2, 2)),
        (HalfDifference(2), 1, (1, 2, 2)),
        (shift, 1, (4,)),
        (nn.MaxPool2d(2, 1, 1), 1, (1, 2, 2)),
        (nn.AdaptiveAvgPool2d(2), 1, (1, 3, 3)),
        (Add(), 2, (4,)),
    ]
    for layer, count, shape in cases:
        layer, centre = layer.eval(), 100 * torch.randn(count, 8, *shape, generator=g)
        radius = 0.01 + torch.rand(centre.shape, generator=g)  # rounding of inputs included
        ends = [(x.double() - r, x.double() + r) for x, r in zip(centre, radius, strict=True)]
        for size in (0.0, 1e-7, 0.1):
            errors = size * torch.rand(centre.shape, generator=g, dtype=torch.float64)
            allowed = _drift(layer.double(), list(errors), ends)
            for way in (-1, 1):
                run = [(x + way * e).float() for x, e in zip(centre.double(), errors, strict=True)]
                pairs = zip(run, errors, strict=True)
                off = [oracles.exactly(r) - way * oracles.exactly(e) for r, e in pairs]
                y = oracles.exactly(layer.float()(*run))
                if (abs(y - _exact(layer, off)) > oracles.exactly(allowed)).any():
                    yield f"{type(layer).__name__}: the program drifts further than its bound"


def _drift(layer: nn.Module, errors: Sequence[Tensor], ends: Sequence[Ends]) -> Tensor:
    if layer in affine:
        return affine_drift(affine(layer), errors[0], ends[0], torch.float32)
    return drift(layer, errors, ends, torch.float32)


def _exact(layer: nn.Module, inputs: Sequence[np.ndarray]) -> np.ndarray:
    return sum(inputs) if isinstance(layer, Add) else exact.forward(layer, inputs[0])
