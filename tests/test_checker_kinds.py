"""The checker's kinds of layers, one by one, against the package's layers and exact fractions.

Shapes: B batch, N points of a box, C/H/W image, 2 ends of a box (1 of a point), K classes.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tests.checker_tool import checker
from tests.soundness import exact
from zoo.layers import (
    Average,
    CenterCrop,
    Channels,
    Concat,
    Crops,
    Flip,
    HalfDifference,
    HalfSum,
    Join,
    LocalMax,
    LocalMin,
    LpDistConv2d,
    LpDistLinear,
    MaxMin,
    Negate,
    Normalize,
    PrunedLinfDistLinear,
    Residual,
    Shift,
    SortDistLinear,
)
from zoo.rules import describe

SHAPE = (2, 4, 4)
NUM_IN = 32
RADII = (2.0**-26, 0.1)


def pruned() -> PrunedLinfDistLinear:
    keep_OI = torch.rand(5, NUM_IN) < 0.3
    keep_OI[:, 7] = True
    layer = PrunedLinfDistLinear(NUM_IN, 5, int(keep_OI.sum()))
    layer.set_edges(torch.randn(5, NUM_IN), keep_OI)
    return layer


def average() -> Average:
    members = [nn.Sequential(nn.Flatten(), LpDistLinear(NUM_IN, 5, bias=True)) for _ in range(3)]
    return Average(members, [nn.Sequential(), Flip()])


BUILD = {
    "linf_dist": lambda: [nn.Flatten(), LpDistLinear(NUM_IN, 5, bias=True)],
    "pruned_linf_dist": lambda: [nn.Flatten(), pruned()],
    "sort_dist": lambda: [nn.Flatten(), SortDistLinear(NUM_IN, 5, rho=0.7, k=6, bias=True)],
    "linf_dist_conv2d": lambda: [LpDistConv2d(2, 3, 3, stride=2, padding=1, bias=True)],
    "linear": lambda: [nn.Flatten(), nn.Linear(NUM_IN, 6)],
    "conv2d": lambda: [nn.Conv2d(2, 3, 3, stride=2, padding=1)],
    "normalize": lambda: [Normalize([0.1, 0.7], 0.3)],
    "relu": lambda: [Normalize([0.4, 0.5], 0.3), nn.ReLU()],
    "tanh": lambda: [Normalize([0.4, 0.5], 0.3), nn.Tanh()],
    "max_min": lambda: [nn.Flatten(), MaxMin()],
    "negate": lambda: [Negate()],
    "flip": lambda: [Flip()],
    "shift": lambda: [Shift(1, -2)],
    "center_crop": lambda: [CenterCrop(3)],
    "crops": lambda: [Crops(2, 2)],
    "join": lambda: [Crops(3, 1), Join(4)],
    "average": lambda: [average()],
    "half_sum": lambda: [HalfSum(2)],
    "half_difference": lambda: [HalfDifference(3)],
    "local_max": lambda: [LocalMax(2)],
    "local_min": lambda: [LocalMin(2)],
    "channels": lambda: [Channels(1, 0)],
    "max_pool": lambda: [nn.MaxPool2d(2, 1, 1)],
    "avg_pool": lambda: [nn.AvgPool2d(3, 2, 1)],
    "batch_norm": lambda: [nn.BatchNorm2d(2), nn.Flatten(), nn.BatchNorm1d(NUM_IN)],
    "add": lambda: [Residual(Normalize([0.1, 0.7], 0.3), Negate())],
    "concat": lambda: [Concat([nn.Flatten(), nn.Sequential(HalfSum(3), nn.Flatten())])],
}
SUMS = ("linear", "conv2d", "tanh", "avg_pool", "batch_norm")


@torch.no_grad()
def build(kind: str) -> nn.Sequential:
    torch.manual_seed(7)
    net = nn.Sequential(*BUILD[kind]()).eval()
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            parameter.normal_()
    for layer in net:
        if isinstance(layer, LpDistConv2d):
            layer.pad_value_C.uniform_()
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.1, 2)
            layer.weight.normal_()
    return net


def ends(net: nn.Module, x_2BCHW: np.ndarray, kind: type) -> np.ndarray:
    """What the checker makes of a box, in a kind of numbers."""
    tensors: dict[str, dict[str, np.ndarray]] = {}
    for key, tensor in net.state_dict().items():
        name, _, own = key.rpartition(".")
        tensors.setdefault(name, {})[own] = checker.enclosures.numbers(tensor.numpy(), kind)
    box = checker.enclosures.numbers(x_2BCHW, kind)
    return checker.layer_kinds.run(describe(net), tensors, box)


def box_and_points(radius: float, count: int) -> tuple[np.ndarray, Tensor]:
    """Float32 ends x_2BCHW of a box, B = 1, and points x_NCHW of it, some of them corners."""
    g = torch.Generator().manual_seed(3)
    x = torch.rand(SHAPE, generator=g)
    low, high = x - radius, x + radius
    corners = torch.rand(count // 2, *SHAPE, generator=g).round()
    inside = torch.rand(count // 2, *SHAPE, generator=g)
    share = torch.cat([corners, inside])
    points = (low + share * (high - low)).clamp(low, high)
    points = torch.where(share == 0, low, torch.where(share == 1, high, points))
    return np.stack([low.numpy(), high.numpy()])[:, None], points


def test_every_kind_has_a_test():
    assert {"flatten", *BUILD} == set(checker.layer_kinds.KINDS)


@pytest.mark.parametrize("kind", BUILD)
def test_a_point_becomes_what_the_program_computes(kind):
    net, x_BCHW = build(kind), torch.rand(3, *SHAPE)
    with torch.no_grad():
        wanted = net(x_BCHW).numpy()
    low, high = (f := ends(net, x_BCHW.numpy()[None], np.float32))[[0, -1]]
    assert f.dtype == np.float32 and (low <= wanted).all() and (wanted <= high).all()
    if kind in SUMS:
        assert np.abs(high - low).max() < 1e-4
    else:
        assert len(f) == 1  # the same bits


@pytest.mark.parametrize("kind", BUILD)
@pytest.mark.parametrize("radius", RADII)
def test_no_float32_image_of_a_box_leaves_the_ends(kind, radius):
    net, (x_2BCHW, points) = build(kind), box_and_points(radius, 400)
    with torch.no_grad():
        f_N = net(points).unflatten(0, (len(points), -1)).numpy()
    low, high = ends(net, x_2BCHW, np.float32)
    assert (low <= f_N).all() and (f_N <= high).all()


@pytest.mark.parametrize("kind", sorted({*BUILD} - {"center_crop", "crops", "join"}))
@pytest.mark.parametrize("radius", RADII)
def test_no_real_image_of_a_box_leaves_the_ends(kind, radius):
    """Nor are they further out than it takes: fractions are the exact image, floats next to it."""
    net, (x_2BCHW, points) = build(kind), box_and_points(radius, 8)
    f_N = exact.forward(net, oracles.exactly(points))
    low, high = ends(net, x_2BCHW, np.float64)
    if kind in ("tanh", "batch_norm"):
        assert (low <= f_N).all() and (f_N <= high).all()
        return
    least, most = ends(net, x_2BCHW, Fraction)
    assert (low <= least).all() and (least <= f_N).all()
    assert (f_N <= most).all() and (most <= high).all()
    assert max(np.max(least - low), np.max(high - most)) < 1e-13
    if kind not in ("linf_dist_conv2d", "pruned_linf_dist"):
        wanted = exact.interval(net, *(oracles.exactly(end) for end in x_2BCHW))
        assert (least == wanted[0]).all() and (most == wanted[1]).all()


@pytest.mark.parametrize("kind", ["linf_dist", "pruned_linf_dist", "sort_dist"])
def test_a_bias_that_cancels_a_distance_leaves_its_rounding(kind):
    net, x_BCHW = build(kind), torch.rand(1, *SHAPE)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "weight" in name:
                parameter.mul_(2.0**-40)  # beside a pixel, more bits than float64 has
        net[-1].bias.sub_(net(x_BCHW)[0])
        size = net(x_BCHW).abs().max()
    assert size < 1e-5
    low, high = ends(net, x_BCHW.numpy()[None], np.float64)
    f_BO = exact.forward(net, oracles.exactly(x_BCHW))
    assert (low <= f_BO).all() and (f_BO <= high).all()


@pytest.mark.parametrize("radius", RADII)
def test_margins_through_a_last_linear_layer(radius):
    net, (x_2BCHW, points) = build("linear"), box_and_points(radius, 400)
    tensors = {"1": {key: t.numpy() for key, t in net[1].state_dict().items()}}
    wide = {
        kind: {"1": {key: checker.enclosures.numbers(t, kind) for key, t in tensors["1"].items()}}
        for kind in (np.float32, np.float64, Fraction)
    }
    y_B = np.array([4])

    def margins_K(kind: type) -> np.ndarray:
        box = checker.enclosures.numbers(x_2BCHW, kind)
        return checker.check_certificates.margins(describe(net), wide[kind], box, y_B)[0]

    wanted = exact.margins(net, *(oracles.exactly(end) for end in x_2BCHW), y_B)[0]
    assert (margins_K(Fraction) == wanted).all()
    assert (margins_K(np.float64) <= wanted).all()
    assert (margins_K(np.float64) > wanted.astype(float) - 1e-13).all()
    with torch.no_grad():
        f_NK = net(points).double().numpy()
    found_K = (f_NK[:, y_B] - f_NK).min(0)
    assert (margins_K(np.float32) <= found_K).all()
    # The program rounds both logits, and nobody says in which order it adds.
    largest_I, weight, bias = np.abs(x_2BCHW).max((0, 1)).ravel(), *tensors["1"].values()
    error_K = (NUM_IN + 1) * 2.0**-24 * (np.abs(weight).astype(float) @ largest_I + np.abs(bias))
    assert (margins_K(np.float32) <= wanted.astype(float) - (error_K + error_K[4])).all()
    assert (margins_K(np.float32) > wanted.astype(float) - 1e-4).all()
