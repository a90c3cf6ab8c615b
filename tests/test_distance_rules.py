"""Rules of distances, dense and convolutional: what forms over them become, and what they drift by.

Shapes: B batch, S rows of forms, C/H/W image, I in features, O out features, P points.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from test_linear_rules import corners, least, no_relu, random_ends
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.layers import (
    LocalMax,
    LocalMin,
    LpDistConv2d,
    LpDistLinear,
    MaxMin,
    PrunedLinfDistLinear,
    SortDistLinear,
)
from zoo.layers.concat import SideBySide
from zoo.models import LinfDistMLP, fold
from zoo.propagation import interval_ends, lower_bounds, steps_of
from zoo.rounding import NAIVE, Ends
from zoo.rounding.backward import NoLedger
from zoo.rules import drift, interval, pull

pytestmark = pytest.mark.usefixtures("one_thread")

# Stride, padding and bias of convolutions of a 2 x 2 kernel over 3 x 3 pixels.
WINDOWS = [(1, 0, True), (1, 1, True), (2, 1, False), (1, 2, False)]


def windows(seed: int, stride: int, padding: int, bias: bool) -> LpDistConv2d:
    """A layer whose border is not 0, and that has centres near its inputs, or far from them."""
    torch.manual_seed(seed)
    layer = LpDistConv2d(2, 3, 2, stride=stride, padding=padding, bias=bias).double()
    with torch.no_grad():
        layer.pad_value_C.normal_()
        if bias:
            layer.bias.normal_()
        if seed % 2:
            layer.weight.add_(20 * torch.randn(layer.weight.shape))
    return layer


def check_forms(layer: nn.Module, points: Tensor, ends: Ends) -> None:
    """Lines hold at points, the least of each form too, and each end alone is the interval's."""
    y_PO = layer(points).flatten(1)
    shape, size = layer(ends[0]).shape[1:], y_PO.shape[1]
    rows = torch.randn(1, 9, *shape, dtype=torch.float64)
    bound_S = least(layer, rows, ends)[0]
    found = pull(layer, rows, [ends], None, NoLedger())
    forms_PS = y_PO @ rows[0].flatten(1).T
    lines_PS = points.flatten(1) @ found.rows[0][0].flatten(1).T + found.constant_BS[0]
    assert (forms_PS >= lines_PS - 1e-9).all() and (forms_PS >= bound_S - 1e-9).all()
    unit = torch.eye(size, dtype=torch.float64).view(1, size, *shape)
    low_O, high_O = least(layer, torch.cat([unit, -unit], 1), ends)[0].split(size)
    wanted = interval(layer, *ends, NAIVE)
    torch.testing.assert_close(low_O, wanted[0].flatten())
    torch.testing.assert_close(-high_O, wanted[1].flatten())


def points_of(ends: Ends) -> Tensor:
    """Points of the box, each coordinate anywhere or at an end."""
    share = torch.rand(300, *ends[0].shape[1:], dtype=torch.float64)
    share[:150] = share[:150].round()
    return ends[0] + share * (ends[1] - ends[0])


@pytest.mark.parametrize("bias", [True, False])
def test_forms_over_distances_hold_and_are_attained_far_from_the_centres(bias):
    for seed in range(20):
        torch.manual_seed(seed)
        layer, ends = LpDistLinear(3, 4, bias=bias).double(), random_ends(seed, 1, 3)
        if seed % 2:
            layer.weight.data.add_(20 * torch.randn(4, 3))
        check_forms(layer, torch.cat([corners(*ends), points_of(ends)]), ends)


@pytest.mark.parametrize(("stride", "padding", "bias"), WINDOWS)
def test_forms_over_windows_hold_and_are_attained_far_from_the_centres(stride, padding, bias):
    for seed in range(8):
        layer, ends = windows(seed, stride, padding, bias), random_ends(seed, 1, 2, 3, 3)
        check_forms(layer, points_of(ends), ends)


def followers(seed: int) -> Iterator[tuple[nn.Module, tuple[int, ...]]]:
    """Layers whose outputs follow one entry each, or none, and the shapes of their inputs."""
    torch.manual_seed(seed)
    pruned = PrunedLinfDistLinear(4, 2, 5)
    kept_OI = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]]) > 0
    pruned.set_edges(torch.randn(2, 4) * (20 if seed % 2 else 1), kept_OI)
    pruned.bias.data.normal_()
    yield pruned, (4,)
    yield SortDistLinear(4, 3, rho=0.6, k=3, bias=True), (4,)
    yield MaxMin(), (6,)
    yield MaxMin(), (2, 4)
    yield LocalMax(2), (2, 4, 2)
    yield LocalMin(2), (2, 4, 2)


@pytest.mark.parametrize("narrow", [False, True])
def test_forms_over_what_follows_one_entry_hold(narrow):
    for seed in range(8):
        for layer, shape in followers(seed):
            lower, upper = random_ends(seed, 1, *shape)
            if narrow:
                upper = lower + 1e-9
            check_forms(layer.eval().double(), points_of((lower, upper)), (lower, upper))


def test_parts_side_by_side_have_their_ends_side_by_side():
    (a, b), (c, d) = random_ends(0, 2, 3), random_ends(1, 2, 4)
    for reading in ([], [NAIVE]):
        lower, upper = interval(SideBySide(), a, b, c, d, *reading)
        assert torch.equal(lower, torch.cat([a, c], 1))
        assert torch.equal(upper, torch.cat([b, d], 1))


def test_an_edge_that_is_pruned_has_no_part_in_lines_or_errors():
    pruned = PrunedLinfDistLinear(2, 1, 1).double()
    pruned.set_edges(torch.tensor([[5.0, 7.0]]), torch.tensor([[False, True]]))
    lower, upper = torch.zeros(1, 2).double(), torch.ones(1, 2).double()
    found = pull(pruned, torch.ones(1, 1, 1).double(), [(lower, upper)], None, NoLedger())
    assert found.rows[0].tolist() == [[[0.0, -1.0]]] and found.constant_BS.item() == 7.0


def test_a_window_as_large_as_the_image_is_a_dense_layer():
    """To the bit: forms, ends and errors."""
    layer = windows(1, 1, 0, True)
    dense = LpDistLinear(8, 3, bias=True).double()
    dense.load_state_dict({"weight": layer.weight_OI, "bias": layer.bias})
    lower, upper = random_ends(0, 2, 2, 2, 2)
    rows = torch.randn(2, 5, 3, dtype=torch.float64)
    of_image = pull(layer, rows[..., None, None], [(lower, upper)], None, NoLedger())
    flat = lower.flatten(1), upper.flatten(1)
    of_row = pull(dense, rows, [flat], None, NoLedger())
    assert torch.equal(of_image.rows[0].flatten(2), of_row.rows[0])
    assert torch.equal(of_image.constant_BS, of_row.constant_BS)
    errors = torch.rand_like(lower)
    found = drift(layer, [errors], [(lower, upper)], torch.float32)
    assert torch.equal(found.flatten(1), drift(dense, [errors.flatten(1)], [flat], torch.float32))


def test_a_border_is_a_number_and_has_no_error():
    """Only the pixels that a window reaches count."""
    layer = LpDistConv2d(1, 1, 2, padding=2).double()
    x = torch.rand(1, 1, 2, 2).double()
    errors = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]).double()
    found = drift(layer, [errors], [(x, x)], torch.float32)[0, 0]
    wanted = torch.tensor(
        [[0, 0, 0, 0, 0], [0, 1, 2, 2, 0], [0, 3, 4, 4, 0], [0, 3, 4, 4, 0], [0, 0, 0, 0, 0]]
    )
    assert (found >= wanted).all() and (found <= 1.01 * wanted + 1e-5).all()


def test_windows_at_a_finite_exponent_have_no_rules():
    layer, x = windows(0, 1, 1, True), torch.rand(1, 2, 3, 3).double()
    layer.p = 8.0
    with pytest.raises(UsageError, match="p = 8"):
        pull(layer, torch.ones(1, 1, 3, 4, 4).double(), [(x, x)], None, NoLedger())
    with pytest.raises(UsageError, match="p = 8"):
        drift(layer, [0 * x], [(x, x)], torch.float32)


def test_a_distance_net_with_its_normalisation_is_one_for_linear_bounds():
    net = LinfDistMLP(2, width=5, num_classes=3, in_chans=1, img_size=2, mean=0.2, std=0.4).eval()
    for form in (net, fold(net)):
        steps, _ = steps_of(form.double())
        assert not any(isinstance(step.layer, LinfDistMLP) for step in steps)
        ends = random_ends(0, 2, 1, 2, 2)
        rows = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
        found = lower_bounds(steps, interval_ends(steps, ends), rows, len(steps), no_relu)
        assert (found <= form((ends[0] + ends[1]) / 2) + 1e-9).all() and found.isfinite().all()
