"""The ops of backward bounds: forms through lines, and lines around a ReLU.

Shapes: B batch, S rows, D entries; T lines for each entry, 1 or S of them.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.op_cases import both, same_bits, seeds
from zoo.ops import pull_lines, relu_chord, relu_offsets

few = settings(max_examples=60, deadline=None, derandomize=True)
# Around the widths of vectors and of tasks; and nothing at all.
counts = st.sampled_from([0, 1, 2, 3, 9])
widths = st.sampled_from([0, 1, 7, 8, 15, 16, 17, 33, 511, 512, 513, 1040])
dtypes = st.sampled_from([torch.float32, torch.float64])


def forms(b: int, s: int, t: int, d: int, seed: int, dtype: torch.dtype) -> list[Tensor]:
    """Rows (B, S, D) and four tensors of lines (B, T, D), some of them 0."""
    g = torch.Generator().manual_seed(seed)
    shapes = [(b, s, d), *[(b, t, d)] * 4]
    found = [torch.randn(shape, generator=g, dtype=dtype) for shape in shapes]
    return [each.masked_fill(torch.rand(each.shape, generator=g) < 0.2, 0) for each in found]


def ends(count: int, seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Intervals of all kinds: across 0, at 0, beside it, and of no width."""
    g = torch.Generator().manual_seed(seed)
    lower = torch.randint(-3, 3, (count,), generator=g).to(dtype)
    upper = lower + torch.randint(0, 4, (count,), generator=g)
    stretch = torch.rand((count,), generator=g, dtype=dtype) + 0.5
    return lower * stretch, upper * stretch


@pytest.mark.usefixtures("kernels")
@few
@given(counts, counts, st.booleans(), widths, seeds, dtypes)
def test_native_forms_are_the_reference_s(b, s, shared, d, seed, dtype):
    rows_BSD, *lines = forms(b, s, 1 if shared else s, d, seed, dtype)
    (pulled_BSD, constant_BS), (expected_BSD, expected_BS) = both("pull_lines", rows_BSD, *lines)
    assert torch.equal(pulled_BSD, expected_BSD)
    torch.testing.assert_close(constant_BS, expected_BS, rtol=1e-5, atol=1e-4)
    grads = torch.randn_like(rows_BSD), torch.randn_like(constant_BS)
    for found, expected in zip(*both("pull_lines_backward", *grads, rows_BSD, *lines), strict=True):
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("kernels")
@few
@given(widths, seeds, dtypes)
def test_native_lines_are_the_reference_s_to_the_bit(count, seed, dtype):
    lower, upper = ends(count, seed, dtype)
    g = torch.Generator().manual_seed(seed)
    slopes = [torch.randn(count, generator=g, dtype=dtype) for _ in range(2)]
    slopes[1] = relu_chord(lower, upper)
    grads = [torch.randn(count, generator=g, dtype=dtype) for _ in range(2)]
    for name, arguments in {
        "relu_chord": (lower, upper),
        "relu_chord_backward": (grads[0], lower, upper),
        "relu_offsets": (*slopes, lower, upper),
        "relu_offsets_backward": (*grads, *slopes, lower, upper),
    }.items():
        found, expected = both(name, *arguments)
        found, expected = ([t] if isinstance(t, Tensor) else t for t in (found, expected))
        # + 0, because a maximum of 0 and -0 is either of the two.
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b) if dtype == torch.float64 else same_bits(a + 0, b + 0)


@few
@given(seeds)
def test_forms_bound_from_below_what_lies_between_the_lines(seed):
    rows_BSD, *lines = forms(2, 3, 1, 9, seed, torch.float64)
    lower_slope, lower_offset, upper_slope, upper_offset = lines
    x_BSD = torch.randn(rows_BSD.shape, dtype=torch.float64)
    first, second = lower_slope * x_BSD + lower_offset, upper_slope * x_BSD + upper_offset
    below, above = torch.minimum(first, second), torch.maximum(first, second)
    share = torch.rand_like(x_BSD)
    y_BSD = torch.where(first <= second, below + share * (above - below), first)
    kept_BSD = torch.where(first <= second, rows_BSD, rows_BSD.relu())
    pulled_BSD, constant_BS = pull_lines(kept_BSD, *lines)
    least_BS = (pulled_BSD * x_BSD).sum(2) + constant_BS
    assert ((kept_BSD * y_BSD).sum(2) >= least_BS - 1e-12).all()


@few
@given(seeds, st.sampled_from([0.0, 0.3, 1.0, -0.5, 2.0]))
def test_lines_of_any_slope_touch_the_relu(seed, slope):
    lower, upper = ends(40, seed, torch.float64)
    slopes = torch.full_like(lower, slope)
    below, above = relu_offsets(slopes, slopes, lower, upper)
    z = torch.lerp(lower[:, None], upper[:, None], torch.linspace(0, 1, 101).double())
    # With 0 among them where they cross it.
    z = torch.cat([z, z.clamp_max(0).amax(1, keepdim=True).clamp_min(lower[:, None])], 1)
    gaps = z.relu() - slope * z
    torch.testing.assert_close(gaps.amin(1), below, rtol=0, atol=1e-12)
    torch.testing.assert_close(gaps.amax(1), above, rtol=0, atol=1e-12)


@few
@given(seeds)
def test_gradients_are_those_of_the_values(seed):
    g = torch.Generator().manual_seed(seed)
    mid, radius = (torch.randn(12, generator=g, dtype=torch.float64) for _ in range(2))
    lower, upper = mid - radius.abs() - 0.01, mid + radius.abs() + 0.01
    slopes = torch.rand(2, 12, generator=g, dtype=torch.float64) + 0.01
    leaves = [t.requires_grad_() for t in (*slopes.unbind(), lower, upper)]
    assert torch.autograd.gradcheck(relu_chord, leaves[2:], nondet_tol=0)
    assert torch.autograd.gradcheck(relu_offsets, leaves)
    for t in 1, 3:
        leaves = [leaf.requires_grad_() for leaf in forms(2, 3, t, 5, seed, torch.float64)]
        # At 0 a coefficient has no derivative.
        leaves[0] = torch.where(leaves[0] == 0, 0.5, leaves[0]).detach().requires_grad_()
        assert torch.autograd.gradcheck(pull_lines, leaves)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_none_are_not_lost(number):
    lower, upper = torch.full((20,), -1.0), torch.ones(20)
    slope = torch.full((20,), 0.5)
    for k in range(4):
        arguments = [slope.clone(), slope.clone(), lower.clone(), upper.clone()]
        arguments[k][7] = number
        found, expected = both("relu_offsets", *arguments)
        assert any(not each[7].isfinite() for each in found)
        assert all(torch.equal(a.isnan(), b.isnan()) for a, b in zip(found, expected, strict=True))
    rows, *lines = forms(1, 2, 1, 20, 0, torch.float32)
    rows[0, 1, 7] = number
    (pulled, constant), (expected, expected_constant) = both("pull_lines", rows, *lines)
    torch.testing.assert_close(pulled, expected, equal_nan=True)
    assert not constant[0, 1].isfinite() and constant[0, 0].isfinite()
    assert constant.isnan().equal(expected_constant.isnan())


@pytest.mark.usefixtures("kernels")
def test_operands_that_do_not_fit_are_refused():
    rows, *lines = forms(2, 3, 1, 5, 0, torch.float32)
    with pytest.raises(RuntimeError, match="pull_lines: needs lines"):
        torch.ops.zoo.pull_lines(rows, *lines[:3], lines[3][:, :, :4])
    with pytest.raises(RuntimeError, match="pull_lines: needs lines"):
        torch.ops.zoo.pull_lines(rows.double(), *lines)
    with pytest.raises(RuntimeError, match="pull_lines: needs rows"):
        torch.ops.zoo.pull_lines(rows[0], *lines)
    with pytest.raises(RuntimeError, match="relu_chord: an operand"):
        torch.ops.zoo.relu_chord(rows, rows[:1])
