"""An affine layer as bounds see it: what interval training computes of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.rounding.affine import sum_and_difference
from zoo.rules import affine

LAYERS = [nn.Linear(12, 5), nn.Conv2d(3, 4, 2), nn.BatchNorm2d(3).eval(), nn.AvgPool2d(2)]


@pytest.mark.parametrize("layer", LAYERS)
def test_halves_may_be_taken_anywhere(layer: nn.Module) -> None:
    """To the bit, as half of a number is exact; and with the plain formula's gradients."""
    shape = (7, 12) if isinstance(layer, nn.Linear) else (7, 3, 2, 2)
    lower = torch.randn(shape, requires_grad=True)
    upper = (lower.detach() + torch.rand(shape)).requires_grad_()
    of = affine(layer)
    plain = of.centre((lower + upper) / 2), of.radius((upper - lower) / 2)
    found = of.mid_rad(lower, upper)
    assert all(map(torch.equal, found, plain))
    leaves = lower, upper, *layer.parameters()
    leaves = leaves[:3]  # the bias has no part in a radius
    upstream = [torch.randn_like(each) for each in plain]
    gradients = (
        torch.autograd.grad(each, leaves, upstream, retain_graph=True) for each in (found, plain)
    )
    for got, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(got, wanted)


def test_sums_and_differences_have_derivatives_of_any_order() -> None:
    operands = [torch.randn(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(sum_and_difference, operands)
    assert torch.autograd.gradgradcheck(sum_and_difference, operands)
