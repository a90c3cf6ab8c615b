"""Rounding bounds against rational arithmetic (S2): each end, each error, each slack holds, and is
not much larger than it must be.

Shapes: B batch, I in features, O out features, S rows of a specification, D entries of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from soundness import exact
from soundness.asking import margins
from soundness.backward import Chain, backward_bound
from soundness.nets import KINDS, random_images, random_net
from tests import oracles
from zoo.boxes import box
from zoo.layers import LinfLinear
from zoo.rounding import DEPLOYED, REAL, unit_roundoff
from zoo.rules import Rounded, forward_error, interval

pytestmark = pytest.mark.usefixtures("one_thread")
DTYPES = [torch.float32, torch.float64]


def wild(g: torch.Generator, *shape: int, decades: float = 2.0) -> torch.Tensor:
    """Numbers of both signs over several decades, some of them 0."""
    size = 10 ** (decades * (2 * torch.rand(shape, generator=g) - 1))
    return torch.randn(shape, generator=g) * size * (torch.rand(shape, generator=g) > 0.1)


def affine_layers(seed: int) -> Iterator[tuple[nn.Module, torch.Tensor, torch.Tensor]]:
    """A linear and a convolutional layer, each with a box of its inputs."""
    g = torch.Generator().manual_seed(seed)
    for layer, shape in (
        (nn.Linear(7, 5), (2, 7)),
        (nn.Conv2d(2, 4, 2, stride=1 + seed % 2, padding=1, groups=1 + seed % 2), (1, 2, 3, 3)),
    ):
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(wild(g, *parameter.shape))
        mid, radius = wild(g, *shape), wild(g, *shape).abs() * (seed % 5 > 0)
        yield layer.eval(), mid - radius, mid + radius


@pytest.mark.parametrize("dtype", DTYPES)
def test_real_intervals_enclose_the_exact_image(dtype, times, tally) -> None:
    line = tally(f"rational: interval ends of affine layers in {dtype}", "outside")
    used = 0.0
    for seed in range(times(4500, 45)):
        for layer, lower, upper in affine_layers(seed):
            layer, ends = layer.to(dtype), (lower.to(dtype), upper.to(dtype))
            with torch.no_grad():
                found = [oracles.exactly(end) for end in interval(layer, *ends, REAL)]
                centre = [oracles.exactly(end) for end in interval(layer, *ends)]
            wanted = exact.interval(layer, *(oracles.exactly(end) for end in ends))
            line["outside"] += int((found[0] > wanted[0]).sum() + (found[1] < wanted[1]).sum())
            line["ends"] += 2 * wanted[0].size
            slack = np.array([float(s) for s in (centre[0] - found[0]).flat])
            missed = np.array([float(s) for s in (centre[0] - wanted[0]).flat])
            used = max(used, float((missed / np.maximum(slack, 1e-300)).max()))
    assert line["outside"] == 0
    # The slack is a bound for any order of a sum, and these sums have one order and random signs.
    assert used > 0.05


@pytest.mark.parametrize(
    "kind",
    [
        *("relu", "conv", "head", "folded", "normalized", "sorted", "group_sorted", "contracted"),
        *("hybrid", "hybrid_normalized", "residual", "pooled", "parts"),
    ],
)
def test_real_intervals_of_nets_enclose_the_exact_ones(kind, times, tally) -> None:
    line = tally(f"rational: interval ends of nets, {kind}", "outside")
    for seed in range(times(300, 6)):
        net = random_net(kind, seed).double()
        within = box(random_images(seed, 4).double(), Fraction(seed % 50, 200))
        ends = within.lower_BCHW, within.upper_BCHW
        with torch.no_grad():
            found = [oracles.exactly(end) for end in interval(net, *ends, REAL)]
        wanted = exact.interval(net, *(oracles.exactly(end) for end in ends))
        line["outside"] += int((found[0] > wanted[0]).sum() + (found[1] < wanted[1]).sum())
        line["ends"] += 2 * wanted[0].size
        assert all(float(w - f) < 1e-11 for w, f in zip(wanted[0].flat, found[0].flat, strict=True))
    assert line["outside"] == 0


@pytest.mark.parametrize("kind", ["relu", "head", "hybrid", "hybrid_normalized", "residual"])
def test_real_margins_of_nets_lie_below_the_exact_ones_and_close(kind, times, tally) -> None:
    line = tally(f"rational: margins of nets with an elided layer, {kind}", "above")
    for seed in range(times(300, 6)):
        net = random_net(kind, seed).double()
        within = box(random_images(seed, 4).double(), Fraction(seed % 50, 200))
        ends, y_B = (within.lower_BCHW, within.upper_BCHW), torch.arange(4) % 3
        with torch.no_grad():
            found = oracles.exactly(margins(net, *ends, y_B, REAL))
        wanted = exact.margins(net, *(oracles.exactly(end) for end in ends), y_B.numpy())
        line["above"] += int((found > wanted).sum())
        line["margins"] += wanted.size
        assert all(float(w - f) < 1e-11 for w, f in zip(wanted.flat, found.flat, strict=True))
    assert line["above"] == 0


def sum_in_some_order(g: np.random.Generator, terms: np.ndarray) -> np.floating:
    """The terms added up two at a time, whichever two: any order and any parenthesisation."""
    left = list(terms)
    while len(left) > 1:
        i, j = sorted(g.choice(len(left), 2, replace=False))
        second = left.pop(j)
        left[i] = left[i] + second
    return left[0]


def test_deployed_intervals_enclose_every_order_of_summation(times, tally) -> None:
    line = tally("any order: float32 executions of linear layers", "outside")
    g, used = np.random.default_rng(0), 0.0
    for seed in range(times(3000, 60)):
        layer, lower, upper = next(affine_layers(seed))
        assert isinstance(layer, nn.Linear)
        with torch.no_grad():
            low, high = (end.numpy() for end in interval(layer, lower, upper, DEPLOYED))
            wide = interval(layer.double(), lower.double(), upper.double())
            near = wide[0].numpy()
        weight_OI = layer.float().weight.detach().numpy()
        bias_O = layer.bias.detach().numpy()
        for _ in range(4):
            # corners are where outputs are largest
            corner = np.where(g.random(lower.shape) < 0.5, lower.numpy(), upper.numpy())
            for b, o in np.ndindex(low.shape):
                worst = np.where(weight_OI[o] > 0, lower[b].numpy(), upper[b].numpy())
                for x_I in (corner[b], worst):
                    terms = np.append(weight_OI[o] * x_I, bias_O[o])
                    y = sum_in_some_order(g, terms)
                    assert y.dtype == np.float32
                    line["outside"] += int(not low[b, o] <= y <= high[b, o])
                    line["executions"] += 1
                    if near[b, o] > low[b, o]:
                        used = max(used, (near[b, o] - y) / (near[b, o] - low[b, o]))
    assert line["outside"] == 0
    assert used > 0.1


@pytest.mark.parametrize("kind", KINDS["lipschitz"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_computed_logits_are_within_their_error_of_the_exact_ones(kind, dtype, times, tally):
    line = tally(f"rational: errors of logits, {kind}, {dtype}", "outside")
    used = 0.0
    for seed in range(times(1500, 20)):
        net, x_BCHW = random_net(kind, seed).to(dtype), random_images(seed, 8).to(dtype)
        if dtype == torch.float64:  # whose arithmetic on float32 numbers is exact
            x_BCHW = x_BCHW * (1 - 1e-9 * torch.rand_like(x_BCHW))
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.mul_(1 + 1e-9 * torch.rand_like(parameter))
        start = Rounded(x_BCHW, torch.zeros((), dtype=torch.float64), 0)
        with torch.no_grad():
            got = forward_error(net, start, unit_roundoff(dtype))
        off_BK = np.abs(exact.forward(net, oracles.exactly(x_BCHW)) - oracles.exactly(got.value))
        error_BK = oracles.exactly(got.error.expand_as(got.value))
        line["outside"] += int((off_BK > error_BK).sum())
        line["logits"] += off_BK.size
        used = max(used, max(float(o / e) for o, e in zip(off_BK.flat, error_BK.flat, strict=True)))
    # Errors of sums are bounds for any order, of which the program has one.
    sums = any(isinstance(layer, nn.Linear | LinfLinear) for layer in net.modules())
    # All roundings of a sum of order statistics seldom go the same way.
    assert line["outside"] == 0 and used > (0.02 if sums else 0.05 if kind == "sorted" else 0.2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_bounds_are_within_their_slack_of_the_exact_ones(dtype, times, tally) -> None:
    line = tally(f"rational: backward bounds in {dtype}", "outside")
    used = 0.0
    for seed in range(times(1500, 30)):
        chain = Chain.random(seed, dtype)
        bound_BS, slack_BS = backward_bound(chain)
        exact_BS = backward_bound(chain.exactly())[0]
        off_BS = np.abs(oracles.exactly(bound_BS) - exact_BS)
        line["outside"] += int((off_BS > oracles.exactly(slack_BS)).sum())
        line["bounds"] += off_BS.size
        used = max(used, float((off_BS / oracles.exactly(slack_BS)).max()))
    assert line["outside"] == 0
    # Within a fifth of a thousandth: S covers any order of every sum on the way.
    assert used > 2e-3
