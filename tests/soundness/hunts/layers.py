"""One layer at a time: intervals and error bounds hold its exact image, and any order of its sums.

Shapes: B batch, K classes.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundness import exact
from soundness.nets import predictions, random_images, random_net, sharpen_norms
from tests import oracles
from zoo.bounds.lipschitz import Lipschitz
from zoo.layers import (
    Average,
    CenterCrop,
    Channels,
    Concat,
    Flip,
    HalfDifference,
    HalfSum,
    LinfLinear,
    LocalMax,
    LocalMin,
    LpDistConv2d,
    LpDistLinear,
    MaxMin,
    MeanShift,
    Negate,
    Normalize,
    PrunedLinfDistLinear,
    Residual,
    ScaledLinear,
    Shift,
    SortDistLinear,
)
from zoo.rounding import DEPLOYED, REAL
from zoo.rules import Rounded, forward_error, interval

UNIT = 2.0**-24


@torch.no_grad()
def single(seed: int) -> Iterator[tuple[nn.Module, tuple[int, ...]]]:
    """A layer of every kind, and the shape of its input; biases much larger than distances too."""
    torch.manual_seed(seed)
    pruned = PrunedLinfDistLinear(4, 3, 6)
    pruned.set_edges(
        torch.randn(3, 4), torch.tensor([[1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0]]) > 0
    )
    shift = MeanShift(4)
    shift.running_mean_O.normal_(2.0)
    dist, conv = LpDistLinear(4, 3, bias=True), LpDistConv2d(1, 3, 2, padding=1, bias=True)
    sort = SortDistLinear(4, 3, rho=0.7, k=3, bias=True)
    sort.order_K.mul_(0.9)  # room for digits that float32 has not
    for layer in (dist, conv, pruned, sort):
        layer.bias.normal_(0, 9.0)
    yield dist, (4,)
    yield pruned, (4,)
    yield conv, (1, 2, 2)
    yield LpDistLinear(4, 3), (4,)
    yield sort, (4,)
    without = SortDistLinear(4, 3, rho=0.9, k=4)
    without.order_K.mul_(0.9)
    yield without, (4,)
    yield shift, (4,)
    yield Negate(), (4,)
    yield Normalize([0.3], 0.3081), (1, 2, 2)
    yield nn.ReLU(), (4,)
    yield nn.Tanh(), (4,)
    yield nn.Linear(4, 3), (4,)
    yield ScaledLinear(3, 4), (3,)
    yield MaxMin(), (4,)
    yield HalfSum(2), (1, 2, 2)
    yield HalfDifference(3), (1, 2, 2)
    yield LocalMax(2), (1, 2, 2)
    yield LocalMin(2), (1, 2, 2)
    yield Channels(2, 0), (4, 1, 1)
    yield Concat([nn.Flatten(), nn.Sequential(HalfSum(3), nn.Flatten())]), (1, 2, 2)
    yield CenterCrop(1), (1, 3, 3)
    yield Flip(), (1, 2, 2)
    yield Shift(1, -1), (1, 2, 2)
    members = [nn.Sequential(nn.Flatten(), LpDistLinear(4, 3, bias=True)) for _ in range(3)]
    yield Average(members, [Flip(), Shift(-1, 0)]), (1, 2, 2)
    # Of exact parts: all that it errs by is its own.
    yield Average([nn.Flatten()], [Flip(), Shift(-1, 0), Shift(0, 1)]), (1, 2, 2)
    contracted = LinfLinear(4, 3)
    contracted.weight.normal_(0, 0.5)
    yield contracted, (4,)
    yield nn.Conv2d(1, 2, 2, padding=1), (1, 2, 2)
    yield Residual(nn.Conv2d(1, 1, 1)), (1, 2, 2)
    yield Residual(nn.MaxPool2d(3, 1, 1)), (1, 2, 2)  # its sum is all that it errs by
    yield nn.MaxPool2d(2, 1, 1), (1, 2, 2)
    yield nn.AvgPool2d(2, 1), (1, 2, 2)
    yield nn.AdaptiveAvgPool2d(2), (1, 3, 3)
    yield nn.Dropout(), (4,)
    norms = [nn.BatchNorm1d(4), nn.BatchNorm2d(1)]
    sharpen_norms(nn.ModuleList(norms))
    yield norms[0], (4,)
    yield norms[1], (1, 2, 2)


@torch.no_grad()
def hunt() -> Iterator[str]:
    for seed in range(3):
        for layer, shape in single(seed):
            yield from intervals(layer.eval(), shape, seed)
            if layer in forward_error and not isinstance(layer, Residual):  # of what it adds up
                yield from forward_errors(layer, shape, seed)
    yield from any_order()
    yield from net_margins()


def intervals(layer: nn.Module, shape: tuple[int, ...], seed: int) -> Iterator[str]:
    g, name = torch.Generator().manual_seed(seed), type(layer).__name__
    centre = torch.rand(2, *shape, generator=g) - 0.5 * (seed % 2)
    radius = 0.3 * torch.rand(centre.shape, generator=g)
    lower, upper = centre - radius, centre + radius
    wide = copy.deepcopy(layer).double()
    for tensor in [*wide.parameters(), *wide.buffers()]:
        if tensor.is_floating_point():  # digits that float32 has not: its products are exact here
            tensor.mul_(1 + 2.0**-30 * torch.rand(tensor.shape, generator=g))
    low, high = interval(wide, lower.double(), upper.double(), REAL)
    points = _points(lower, upper)
    image = exact.forward(wide, oracles.exactly(points[:, 0]))
    if (image < oracles.exactly(low[0])).any() or (image > oracles.exactly(high[0])).any():
        yield f"{name}: the real interval lacks the image of a point"
    try:
        wanted = exact.interval(wide, oracles.exactly(lower), oracles.exactly(upper))
    except AssertionError:  # no oracle
        pass
    else:
        if (wanted[0] < oracles.exactly(low)).any() or (wanted[1] > oracles.exactly(high)).any():
            yield f"{name}: the real interval lacks a part of the exact one"
    for end in (lower.double() / 3, upper.double() / 3):
        low, high = (oracles.exactly(e) for e in interval(wide, end, end, REAL))
        image = exact.forward(wide, oracles.exactly(end))
        if (image < low).any() or (image > high).any():
            yield f"{name}: the real interval of a single point lacks its image"
    low, high = interval(layer, lower, upper, DEPLOYED)
    if (low > high).any():
        yield f"{name}: the ends of the deployed interval cross"
    for point in points.transpose(0, 1).reshape(2, -1, *shape).transpose(0, 1):
        y = layer(point)
        if (y < low).any() or (y > high).any():
            yield f"{name}: the deployed interval lacks what the program gives for a point"
            break


def _points(lower: Tensor, upper: Tensor) -> Tensor:
    """Corners and centre, (P, B, ...)."""
    size = lower[0].numel()
    mix = torch.tensor([*itertools.product((0.0, 1.0), repeat=size), [0.5] * size])
    share = mix.reshape(-1, 1, *lower.shape[1:])
    points = torch.where(share == 0, lower, torch.where(share == 1, upper, (lower + upper) / 2))
    return points


def forward_errors(layer: nn.Module, shape: tuple[int, ...], seed: int) -> Iterator[str]:
    g, name = torch.Generator().manual_seed(seed), type(layer).__name__
    x = torch.rand(3, *shape, generator=g)
    apart = torch.rand(x.shape, generator=g, dtype=torch.float64)
    for incoming, error in (("no", 0 * apart), ("equal", 0 * apart + 1e-3), ("different", apart)):
        found = forward_error(layer, Rounded(x, error, 0), UNIT)
        allowed = oracles.exactly(found.error.expand(found.value.shape))
        for way in (-1, 1):
            off = oracles.exactly(x) + way * oracles.exactly(error)
            gap = abs(exact.forward(layer, off) - oracles.exactly(found.value))
            if (gap > allowed).any():
                yield f"{name}: the error is larger than its bound, with {incoming} errors in x"


def any_order() -> Iterator[str]:
    """Sums in whatever order lie in the deployed interval of their one input."""
    g = torch.Generator().manual_seed(0)
    layer = nn.Linear(96, 16).eval()
    layer.weight.copy_(torch.randn(16, 96, generator=g) * 4)
    layer.bias.copy_(torch.randn(16, generator=g))
    x = torch.rand(4, 96, generator=g)
    low, high = interval(layer, x, x, DEPLOYED)
    error = forward_error(layer, Rounded(x, torch.zeros((), dtype=torch.float64), 0), UNIT).error
    wide = F.linear(x.double(), layer.weight.double(), layer.bias.double())
    weight = layer.weight.detach().numpy()
    orders = [np.arange(96), np.arange(96)[::-1], np.argsort(weight[0]), np.argsort(-weight[1])]
    for order in orders:
        terms = x.numpy()[:, None, order] * weight[None][:, :, order]
        sequential = np.add.accumulate(terms, 2, dtype=np.float32)[..., -1] + layer.bias.numpy()
        columns = torch.from_numpy(order.copy())
        permuted = F.linear(x[:, columns], layer.weight[:, columns], layer.bias)
        for y in (torch.from_numpy(sequential), permuted):
            if (y < low).any() or (y > high).any():
                yield "Linear: the deployed interval lacks a sum in another order"
            if ((y - wide).abs() > error).any():
                yield "Linear: the error is larger than its bound, in another order"


def net_margins() -> Iterator[str]:
    """The Lipschitz bound starts from margins that are not above the exact ones, in float32 too."""
    for seed, kind in enumerate(
        ("folded", "normalized", "pruned", "sorted", "contracted", "mixed", "average")
    ):
        net, x = random_net(kind, seed), random_images(seed, 5)
        y_B = predictions(net, x)
        logits = exact.forward(net, oracles.exactly(x))
        own = logits[np.arange(len(x)), y_B.numpy()][:, None]
        for dtype in (torch.float32, torch.float64):
            line = Lipschitz().real_line(copy.deepcopy(net).to(dtype), x.to(dtype), y_B)
            start = oracles.exactly(line.start_BK.scatter(1, y_B[:, None], 0.0))
            if (start > own - logits).any():
                yield f"{kind} in {dtype}: a margin starts above the exact one"
