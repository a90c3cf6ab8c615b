"""Rules of linear bounds: transposes, sums of branches, maxima and distances, one at a time.

Shapes: B batch, S rows of forms, C/H/W image, I in features, O out features, P points.
"""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from soundness.nets import random_net
from torch import Tensor, nn

from zoo.boxes import box
from zoo.errors import UsageError
from zoo.layers import (
    Add,
    CenterCrop,
    Channels,
    Concat,
    Crops,
    Flip,
    HalfDifference,
    HalfSum,
    LpDistLinear,
    Negate,
    Normalize,
    Residual,
    Shift,
)
from zoo.models import LinfDistMLP, fold
from zoo.propagation import interval_ends, lower_bounds, steps_of, tightened_ends, zonotopes
from zoo.relaxations import Slopes
from zoo.rounding import Ends, NewSymbols
from zoo.rounding.backward import NoLedger
from zoo.rules import affine, describe, interval, pull

pytestmark = pytest.mark.usefixtures("one_thread")


def no_relu(step: int, lower: Tensor, upper: Tensor) -> Slopes:
    raise AssertionError("there is no ReLU")


def least(layer: nn.Module, rows: Tensor, ends: Ends) -> Tensor:
    """Bounds of forms over a net without ReLUs, rounding ignored."""
    steps, _ = steps_of(layer)
    return lower_bounds(steps, interval_ends(steps, ends), rows, len(steps), no_relu)


def corners(lower: Tensor, upper: Tensor) -> Tensor:
    """All corners of a box, (P, ...)."""
    share = torch.tensor([*itertools.product((0.0, 1.0), repeat=lower.numel())])
    share = share.reshape(-1, *lower.shape[1:]).to(lower)
    return lower + share * (upper - lower)


def random_ends(seed: int, *shape: int) -> Ends:
    g = torch.Generator().manual_seed(seed)
    mid = torch.randn(shape, generator=g, dtype=torch.float64)
    radius = torch.rand(shape, generator=g, dtype=torch.float64)
    return mid - radius, mid + radius


# -------------------------------------------------------------------------------------- transposes


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.integers(1, 2),
    st.integers(5, 8), st.integers(5, 8), st.booleans(),
)  # fmt: skip
@settings(max_examples=60)
def test_the_transpose_of_a_convolution_is_its_gradient(
    kernel, stride, padding, dilation, groups, height, width, bias
):
    assume(dilation * (kernel - 1) < min(height, width) + 2 * padding)
    torch.manual_seed(kernel)
    layer = nn.Conv2d(2, 4, kernel, stride, padding, dilation, groups, bias).double()
    x = torch.randn(3, 2, height, width, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    rows = torch.randn_like(y)
    (wanted,) = torch.autograd.grad(y, x, rows)
    found = affine(layer).pull(rows, x.shape[1:])
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 3, padding="same"),
        nn.AvgPool2d(2, 1, 1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.BatchNorm2d(2),
        nn.Flatten(),
        nn.Identity(),
        Normalize([0.3, 0.1], 0.2),
        Negate(),
        nn.Dropout(),
        HalfSum(3),
        HalfDifference(2),
        Flip(),
        Shift(1, -2),
        Channels(1, 0, 1),
        CenterCrop(3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_the_transpose_of_every_affine_layer_is_its_gradient(layer):
    layer = copy.deepcopy(layer).eval().double()
    x = torch.randn(3, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    form = affine(layer)
    torch.testing.assert_close(form.centre(x), layer(x))
    y = layer(x)
    rows = torch.randn_like(y)
    (wanted,) = torch.autograd.grad(y, x, rows)
    torch.testing.assert_close(form.pull(rows, x.shape[1:]).expand_as(wanted), wanted)


@pytest.mark.parametrize("kind", ["linear", "norm", "normalize", "residual"])
def test_bounds_of_forms_over_affine_nets_are_attained_at_a_corner(kind):
    torch.manual_seed(0)
    net = {
        "linear": nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.Linear(6, 5)),
        "norm": nn.Sequential(nn.Conv2d(1, 3, 2, padding=1), nn.BatchNorm2d(3), nn.AvgPool2d(2)),
        "normalize": nn.Sequential(Normalize([0.3], 0.2), Negate(), nn.Flatten()),
        "residual": nn.Sequential(Residual(nn.Conv2d(1, 1, 3, padding=1)), nn.Flatten()),
    }[kind]
    net = net.eval().double()
    lower, upper = random_ends(1, 1, 1, 2, 2)
    y_PO = net(corners(lower, upper)).flatten(1)
    rows_SO = torch.randn(7, y_PO.shape[1], dtype=torch.float64)
    rows = rows_SO.reshape(1, 7, *net(lower).shape[1:])
    wanted_S = (y_PO @ rows_SO.T).amin(0)
    torch.testing.assert_close(least(net, rows, (lower, upper))[0], wanted_S)


# ---------------------------------------------------------------------------------------- residual


def test_a_residual_is_its_branches_and_a_sum():
    net = nn.Sequential(nn.Flatten(), Residual(nn.Linear(4, 4)), nn.Linear(4, 2))
    steps, logits = steps_of(net, torch.rand(3, 1, 2, 2))
    kinds = [type(step.layer) for step in steps]
    assert kinds == [nn.Flatten, nn.Linear, nn.Identity, Add, nn.Linear]
    assert [step.inputs for step in steps] == [(0,), (1,), (1,), (2, 3), (4,)]
    assert logits is not None and logits.shape == (3, 2)


def test_the_bias_before_a_residual_counts_once():
    """y = body(x + b) + (x + b): with body 0, forms have b once."""
    first, body = nn.Linear(2, 2), nn.Linear(2, 2)
    with torch.no_grad():
        first.weight.copy_(torch.eye(2))
        first.bias.copy_(torch.tensor([3.0, -5.0]))
        for parameter in body.parameters():
            parameter.zero_()
    x = torch.tensor([[0.25, 0.5]])
    found_BS = least(nn.Sequential(first, Residual(body)), torch.eye(2)[None], (x, x))
    assert torch.equal(found_BS, torch.tensor([[3.25, -4.5]]))


def test_what_cancels_between_branches_is_seen_by_forms_and_not_by_intervals():
    net, ends = Residual(Negate()), random_ends(0, 2, 4)
    rows = torch.eye(4, dtype=torch.float64).expand(2, 4, 4)
    assert torch.equal(least(net, rows, ends), torch.zeros(2, 4, dtype=torch.float64))
    lower, upper = interval(net, *ends)
    torch.testing.assert_close(upper, ends[1] - ends[0])
    assert (lower < 0).all()


def test_values_behind_a_residual_are_tightened():
    net = random_net("residual", 0).double()
    around = box(torch.rand(2, 1, 2, 2, dtype=torch.float64), 0.1)
    steps, _ = steps_of(net)
    ends = around.lower_BCHW, around.upper_BCHW
    slopes = lambda i, lower, upper: Slopes(0 * lower, (upper > 0).to(upper))  # noqa: E731
    wide, tight = interval_ends(steps, ends), tightened_ends(steps, ends, slopes)
    behind = [i + 1 for i, step in enumerate(steps) if type(step.layer) is Add]
    assert len(behind) == 2
    for i in behind:
        assert (wide[i][1] - wide[i][0] > tight[i][1] - tight[i][0] + 1e-6).any()


def test_a_net_with_a_residual_is_never_folded_as_if_it_were_a_row():
    net = LinfDistMLP(2, width=4, num_classes=3, in_chans=1, img_size=2)
    net.layers.add_module("more", Residual(nn.Linear(3, 3)))
    with pytest.raises(UsageError, match="no way to fold a Residual"):
        fold(net)


def test_what_cancels_between_parts_side_by_side_is_seen_by_forms_and_zonotopes():
    """x, -x and |x| side by side, then their sum: what is left is |x|."""
    near = nn.Sequential(nn.Flatten(), LpDistLinear(4, 4)).double()
    near[1].weight.data.copy_(torch.diag(torch.full((4,), 50.0)))
    parts = [nn.Flatten(), nn.Sequential(Negate(), nn.Flatten()), near]
    total = nn.Linear(12, 4, bias=False).double()
    total.weight.data.copy_(torch.cat([torch.eye(4)] * 3, 1))
    net, ends = nn.Sequential(Concat(parts), total), random_ends(0, 2, 1, 2, 2)
    rows = torch.eye(4, dtype=torch.float64).expand(2, 4, 4)
    wanted = interval(near, *ends)
    torch.testing.assert_close(least(net, rows, ends), wanted[0])
    *_, found = zonotopes(steps_of(net)[0], ends, no_relu, NewSymbols)
    torch.testing.assert_close(found.ends, wanted)


# ----------------------------------------------------------------------------------------- maxima


POOLS = [(2, 2, 0, 1, False), (3, 2, 1, 1, False), (2, 2, 1, 1, True), (2, 1, 1, 2, False),
         (3, 3, 0, 1, True), ((2, 3), (1, 2), (1, 1), 1, True)]  # fmt: skip


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_forms_over_maxima_hold_and_are_attained_where_one_entry_wins(pool):
    size, stride, padding, dilation, ceil = pool
    layer = nn.MaxPool2d(size, stride, padding, dilation, ceil_mode=ceil)
    for seed in range(20):
        lower, upper = random_ends(seed, 1, 2, 4, 5)
        if seed % 2:  # so narrow that in each window one entry is the largest everywhere
            middle = (lower + upper) / 2
            lower, upper = middle - 1e-9, middle + 1e-9
        y = layer(lower)
        rows = torch.randn(1, 9, *y.shape[1:], dtype=torch.float64)
        found = pull(layer, rows, [(lower, upper)], None, NoLedger())
        bound_S = least(layer, rows, (lower, upper))[0]
        share = torch.rand(200, *lower.shape[1:], dtype=torch.float64)
        share[:100] = share[:100].round()
        points = lower + share * (upper - lower)
        forms_PS = torch.einsum("pchw,schw->ps", layer(points), rows[0])
        lines_PS = torch.einsum("pchw,schw->ps", points, found.rows[0][0]) + found.constant_BS[0]
        assert (forms_PS >= lines_PS - 1e-9).all() and (forms_PS >= bound_S - 1e-9).all()
        if seed % 2:
            torch.testing.assert_close(forms_PS, lines_PS)
            assert (found.constant_BS == 0).all()


def test_a_maximum_whose_ends_are_nan_has_no_bound():
    lower, upper = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    upper[0, 0, 0, 1] = math.nan
    found = pull(nn.MaxPool2d(2), -torch.ones(1, 1, 1, 1, 1), [(lower, upper)], None, NoLedger())
    assert found.constant_BS.isnan().all()


def test_pooling_that_returns_places_too_is_refused():
    x = torch.rand(1, 1, 2, 2)
    with pytest.raises(UsageError, match="return_indices"):
        interval(nn.MaxPool2d(2, return_indices=True), x, x)


def test_layers_without_a_rule_of_linear_bounds_are_refused_by_name():
    x = torch.rand(1, 1, 2, 2)
    for kind, net in ("Tanh", nn.Tanh()), ("Crops", Crops(1, 1)):
        with pytest.raises(UsageError, match=f"no pull rule for layer {kind}"):
            least(nn.Sequential(nn.Identity(), net), torch.rand(1, 1, *net(x).shape[1:]), (x, x))


# ------------------------------------------------------------------------------------- description


def test_new_layers_are_described():
    body = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    net = nn.Sequential(Residual(body), nn.MaxPool2d(2), nn.AvgPool2d(1), nn.Identity())
    conv = {"kind": "conv2d", "name": "0.body.0", "stride": 1, "padding": 0}
    norm = {"kind": "batch_norm", "name": "0.body.1", "eps": 1e-5}
    assert describe(net) == [
        {"kind": "add", "branches": [[conv, norm], []]},
        {"kind": "max_pool", "size": 2, "stride": 2, "padding": 0},
        {"kind": "avg_pool", "size": 1, "stride": 1, "padding": 0},
    ]


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        (nn.MaxPool2d((2, 3)), "plain max-pooling"),
        (nn.MaxPool2d(2, dilation=2), "plain max-pooling"),
        (nn.MaxPool2d(2, ceil_mode=True), "plain max-pooling"),
        (nn.AvgPool2d(2, count_include_pad=False), "plain average-pooling"),
        (nn.AvgPool2d(2, divisor_override=3), "plain average-pooling"),
        (nn.BatchNorm2d(2, track_running_stats=False), "running statistics"),
        (nn.BatchNorm1d(2, affine=False), "running statistics"),
    ],
    ids=lambda value: getattr(value, "extra_repr", lambda: value)(),
)
def test_layers_that_no_kind_says_are_not_described(layer, word):
    with pytest.raises(UsageError, match=word):
        describe(layer)
