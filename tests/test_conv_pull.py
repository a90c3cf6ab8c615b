"""Linear forms through convolutions, and their derivatives.

Shapes: N forms, I/O channels, H/W a convolution's input, h/w its output.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zoo.rules.conv_pull import ConvShape

few = settings(max_examples=40, deadline=None, derandomize=True)
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def convolutions(draw) -> tuple[nn.Conv2d, tuple[int, int, int]]:
    """A layer, and the shape of its inputs."""
    groups = draw(st.sampled_from([1, 1, 1, 2]))
    torch.manual_seed(draw(st.integers(0, 99)))
    layer = nn.Conv2d(
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 3)),
        draw(pairs),
        draw(pairs),
        draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        draw(st.sampled_from([1, 1, 1, 2])),
        groups,
        dtype=torch.float64,
    )
    shape = layer.in_channels, draw(st.integers(4, 9)), draw(st.integers(4, 9))
    reach = [d * (k - 1) + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
    assume(all(n + 2 * p >= r for n, p, r in zip(shape[1:], layer.padding, reach, strict=True)))
    return layer, shape


def by_definition(layer: nn.Conv2d, rows_NOhw: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """The gradient of <row, W * x> by x."""
    x_NIHW = torch.zeros(len(rows_NOhw), *shape, dtype=torch.float64, requires_grad=True)
    out_NOhw = layer(x_NIHW)
    return torch.autograd.grad(out_NOhw, x_NIHW, rows_NOhw, create_graph=True)[0]


@few
@given(convolutions())
def test_forms_and_their_derivatives_are_those_of_the_definition(case):
    layer, shape = case
    conv = ConvShape.of(layer)
    assert conv is not None
    out = layer(torch.zeros(1, *shape, dtype=torch.float64))
    rows_NOhw = torch.randn(3, *out.shape[1:], dtype=torch.float64, requires_grad=True)
    found = conv.pull(rows_NOhw, layer.weight, shape)
    expected = by_definition(layer, rows_NOhw, shape)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    grad = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad(found, (rows_NOhw, layer.weight), grad),
        torch.autograd.grad(expected, (rows_NOhw, layer.weight), grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 2, 1), (3, 1, 1), (3, 2, 0)])
def test_derivatives_have_derivatives(kernel, stride, padding):
    layer = nn.Conv2d(2, 3, kernel, stride, padding, dtype=torch.float64)
    conv = ConvShape.of(layer)
    assert conv is not None
    size = layer(torch.zeros(1, 2, 6, 6, dtype=torch.float64)).shape[1:]
    rows = torch.randn(2, *size, dtype=torch.float64, requires_grad=True)
    pull = lambda rows, weight: conv.pull(rows, weight, (2, 6, 6))  # noqa: E731
    assert torch.autograd.gradcheck(pull, (rows, layer.weight))
    assert torch.autograd.gradgradcheck(pull, (rows, layer.weight))


def test_autocast_leaves_forms_as_they_are():
    layer = nn.Conv2d(2, 3, 4, 2, 1)
    conv = ConvShape.of(layer)
    assert conv is not None
    rows = torch.randn(2, 3, 3, 3, requires_grad=True)
    expected = conv.pull(rows, layer.weight, (2, 6, 6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = conv.pull(rows.bfloat16().float(), layer.weight, (2, 6, 6))
        conv.pull(rows.bfloat16(), layer.weight, (2, 6, 6)).sum().backward()
    assert found.dtype == torch.float32 and rows.grad is not None
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
