"""Layers of ordinary nets at their edges: parts of an image, dropout, what is refused and how.

Shapes: B batch, S rows of forms, C/H/W image.
"""

from __future__ import annotations

import pytest
import torch
from test_linear_rules import least, no_relu, random_ends
from torch import nn

from zoo.bounds import bounds
from zoo.boxes import box
from zoo.certification import certify
from zoo.errors import UsageError
from zoo.layers import MeanShift
from zoo.propagation import program_errors, steps_of, zonotopes
from zoo.rounding import NewSymbols
from zoo.rules import affine, interval, shaped


def is_the_identity(layer: nn.Module) -> None:
    x = torch.rand(2, 1, 2, 2)
    steps, logits = steps_of(layer, x)
    assert torch.equal(logits, x) and torch.equal(steps[0].affine.centre(x), x)
    lower, upper = interval(layer, x, x + 1)
    assert torch.equal(lower, x) and torch.equal(upper, x + 1)


# ------------------------------------------------------------------------------- parts of an image

PARTS = [1, 2, 3, (2, 1), (None, 1), 5]


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_means_of_parts_have_the_transpose_that_is_their_gradient(parts):
    layer, x = nn.AdaptiveAvgPool2d(parts), torch.randn(3, 2, 4, 6, dtype=torch.float64)
    x.requires_grad_()
    y, form = layer(x), shaped(layer, x.shape[1:])
    rows = torch.randn_like(y)
    torch.testing.assert_close(form.centre(x), y)
    (wanted,) = torch.autograd.grad(y, x, rows)
    torch.testing.assert_close(form.pull(rows, x.shape[1:]), wanted)


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_no_sum_has_more_terms_than_are_counted(parts):
    layer, shape = nn.AdaptiveAvgPool2d(parts), (1, 4, 6)
    unit = torch.eye(24).view(24, *shape)
    most = int((layer(unit) != 0).sum(0).max())
    found = shaped(layer, shape).num_terms
    assert most + 2 == found  # two quotients


def test_means_of_equal_parts_are_those_of_average_pooling():
    """In every scheme that has ends."""
    ends = random_ends(0, 2, 3, 4, 4)
    layer, pool = nn.AdaptiveAvgPool2d(2), nn.AvgPool2d(2)
    rows = torch.randn(2, 5, 3, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(least(layer, rows, ends), least(pool, rows, ends))
    torch.testing.assert_close(interval(layer, *ends), interval(pool, *ends))
    of_parts, of_pool = (list(_zonotopes(each, ends)) for each in (layer, pool))
    torch.testing.assert_close(of_parts[-1].symbols, of_pool[-1].symbols)
    errors = [program_errors(steps_of(each)[0], [ends], torch.float32) for each in (layer, pool)]
    torch.testing.assert_close(*errors, rtol=0.4, atol=0)  # one quotient more


def _zonotopes(layer: nn.Module, ends):
    return zonotopes(steps_of(layer)[0], ends, no_relu, NewSymbols)


def test_the_largest_of_parts_has_no_rule():
    with pytest.raises(UsageError, match="no interval rule for layer AdaptiveMaxPool2d"):
        interval(nn.AdaptiveMaxPool2d(1), torch.rand(1, 1, 2, 2), torch.rand(1, 1, 2, 2))


def test_a_shift_of_features_and_of_channels_moves_zonotopes():
    shift = MeanShift(3).eval().double()
    shift.running_mean_O.normal_()
    for shape in ((3,), (3, 2, 2)):
        ends = random_ends(0, 2, *shape)
        before, after = _zonotopes(shift, ends)
        torch.testing.assert_close(after.centre, shift(before.centre))
        assert torch.equal(after.symbols, before.symbols)


# ----------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d, nn.Identity])
def test_dropout_that_rests_is_the_identity(kind):
    is_the_identity(kind().eval())


def test_dropout_at_work_has_no_bounds():
    layer, x = nn.Dropout(0.1), torch.rand(2, 1, 2, 2)
    for ask in (lambda: interval(layer, x, x), lambda: affine(layer), lambda: steps_of(layer, x)):
        with pytest.raises(UsageError, match=r"Dropout in train mode .* model\.eval\(\)"):
            ask()


# --------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("bound", ["interval", "crown_ibp", "deepz"])
def test_windows_that_lie_wholly_in_padding_are_refused(bound):
    net = nn.Sequential(nn.MaxPool2d(2, 3, 1, 3), nn.Flatten(), nn.Linear(1, 3)).eval()
    x, y_B = torch.rand(2, 1, 2, 2), torch.tensor([0, 1])
    assert net[0](x).isneginf().all()
    with pytest.raises(UsageError, match=r"wholly in its padding at \(2, 2\)"):
        certify(net, x, y_B, 0.1, bound=bound)
    wider = torch.rand(2, 1, 3, 3)  # where each window has an entry
    assert net[0](wider).isfinite().all()
    certify(net, wider, y_B, 0.1, bound=bound)


@pytest.mark.parametrize("bound", ["interval", "crown_ibp", "deepz"])
def test_statistics_of_each_batch_have_no_bounds_in_eval_mode(bound):
    norm = nn.BatchNorm2d(1, track_running_stats=False)
    net = nn.Sequential(norm, nn.Flatten(), nn.Linear(4, 3))
    x, y_B = torch.rand(2, 1, 2, 2), torch.tensor([0, 1])
    assert bounds[bound]()(net, box(x, 0.1), y_B).isfinite().all()  # training has a batch
    net.eval()
    for ask in (bounds[bound](), lambda net, around, y_B: certify(net, x, y_B, 0.1, bound=bound)):
        with pytest.raises(UsageError, match="BatchNorm2d without running statistics"):
            ask(net, box(x, 0.1), y_B)


def test_a_layer_without_a_rule_is_told_all_ways_to_one():
    with pytest.raises(UsageError) as caught:
        interval(nn.Softplus(), torch.rand(1, 2), torch.rand(1, 2))
    for way in ("zoo.rules.interval.register", "enter_affine", "enter_picks", "enter_expand"):
        assert way in str(caught.value)
