"""Errors of the native kernels at finite p, next to those that the torch reference makes.

Both are measured against the reference in float64; a kernel may err twice as much.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.op_cases import both, operands

pytestmark = pytest.mark.usefixtures("kernels")

EXPONENTS = [1, 1.5, 2, 3.7, 8, 10.3, 12, 16, 24, 32, 40.5, 48, 64, 65, 100, 300, 1000]
ULP = 2.0**-23
NEGLIGIBLE = 1e-12  # |grad| * slope below which a kernel may leave an entry out
each_exponent = pytest.mark.parametrize("p", EXPONENTS)


def offset(size: float) -> Any:
    """Weights as a layer starts with that copies its input: -size at one coordinate of each row."""

    def change(x_BI: Tensor, w_OI: Tensor) -> None:
        rows = torch.arange(len(w_OI))
        w_OI[rows, rows % w_OI.shape[1]] = -size

    return change


def level(x_BI: Tensor, w_OI: Tensor) -> None:
    """Some pairs that differ by as much at every feature, from 1e-1 to 1e-6."""
    for k in range(min(6, len(x_BI), len(w_OI))):
        x_BI[k] = w_OI[k] + 10.0 ** -(k + 1) * torch.sign(x_BI[k])


def few_values(x_BI: Tensor, w_OI: Tensor) -> None:
    """Differences that are 0, or equal to one another."""
    x_BI.round_(), w_OI.round_()


KINDS = {
    "normal": lambda x_BI, w_OI: None,
    "offset10": offset(10),
    "offset1e4": offset(1e4),
    "level": level,
    "few": few_values,
}
SHAPES = [(9, 37, 65), (3, 20, 700), (2, 16, 5000)]


Case = tuple[str, float, tuple[int, int, int]]


def made(
    dtype: torch.dtype = torch.float32, shapes: Sequence[tuple[int, int, int]] = SHAPES
) -> Iterator[tuple[Case, Tensor, Tensor]]:
    """Operands of every kind, at every scale and of every shape."""
    for kind, scale, shape in itertools.product(KINDS, [1e-30, 1.0, 1e30], shapes):
        x_BI, w_OI = operands(shape, dtype=dtype)
        KINDS[kind](x_BI, w_OI)
        yield (kind, scale, shape), x_BI * scale, w_OI * scale


def relative(y_BO: Tensor, exact_BO: Tensor) -> float:
    """Largest relative error; a distance of 0 has to be 0."""
    assert torch.equal(y_BO == 0, exact_BO == 0)
    return ((y_BO.double() - exact_BO).abs() / exact_BO.where(exact_BO > 0, 1)).max().item()


@pytest.mark.parametrize("p", EXPONENTS)
def test_values_err_by_at_most_twice_what_the_reference_errs(p):
    missed = {}
    for case, x_BI, w_OI in made():
        exact_BO = torch.ops.zoo.lp_dist_reference(x_BI.double(), w_OI.double(), p)
        found, reference = (relative(y, exact_BO) / ULP for y in both("lp_dist", x_BI, w_OI, p))
        if found > 2 * max(reference, 1):
            missed[case] = found, reference
    assert not missed


@pytest.mark.parametrize("p", [p for p in EXPONENTS if p >= 8])
def test_a_pair_much_closer_than_its_operands_are_large_errs_as_little(p):
    """Alone, as a neighbour that is closer yet might have it computed in another way."""
    errors = []
    for step in range(60):
        x_1I, w_1I = operands((1, 1, 65), seed=step)
        w_1I.mul_(10 ** -(step / 10)).add_(x_1I)
        exact_11 = torch.ops.zoo.lp_dist_reference(x_1I.double(), w_1I.double(), p)
        errors.append([relative(y, exact_11) / ULP for y in both("lp_dist", x_1I, w_1I, p)])
    found, reference = map(max, zip(*errors, strict=True))
    assert found <= 2 * max(reference, 1)


def masses(grad_BO: Tensor, x_BI: Tensor, w_OI: Tensor, y_BO: Tensor, p: float) -> list[Tensor]:
    """What a gradient is a sum of, in size: sum_o |grad_bo| slope_boi, and the same over b."""
    t_BOI = (x_BI[:, None] - w_OI).abs().double()
    y_BO1 = y_BO.double()[..., None]
    slope_BOI = (t_BOI / y_BO1.where(y_BO1 > 0, 1)) ** (p - 1) * (t_BOI > 0)
    terms_BOI = grad_BO.double().abs()[..., None] * slope_BOI
    return [terms_BOI.sum(1), terms_BOI.sum(0)]


def check_gradients(case: Case, arguments: tuple[Tensor, ...], p: float) -> None:
    """The kernel's gradients err by at most twice what the reference's do.

    A gradient is a sum over pairs, and its terms may cancel: what rounding does to it is measured
    by the sum of the terms' sizes, its mass. The reference's error is the largest in units of the
    mass, over entries of both gradients that a kernel may not leave out; the least it can be is one
    rounding, 2^-23. On top of twice that, each of the terms may be left out where it is negligible,
    and then is at most NEGLIGIBLE.

    All start from the same y: what its rounding does to a slope is the forward's error, tested
    above.
    """
    found, reference = both("lp_dist_backward", *arguments, p, True, True)
    doubles = (argument.double() for argument in arguments)
    exact = torch.ops.zoo.lp_dist_backward_reference(*doubles, p, True, True)
    mass = masses(*arguments, p)
    terms = arguments[2].shape[0], arguments[1].shape[0]
    allowed = ULP
    for b, e, m, n in zip(reference, exact, mass, terms, strict=True):
        counts = m > n * NEGLIGIBLE
        allowed = (
            max(allowed, ((b - e).abs() / m)[counts].max().item()) if counts.any() else allowed
        )
    for a, e, m, n in zip(found, exact, mass, terms, strict=True):
        excess = (a - e).abs() - (2 * allowed * m + n * NEGLIGIBLE)
        worst = excess.argmax().item()
        error = ((a - e).abs() / m).flatten()[worst] / ULP
        assert (excess <= 0).all(), (case, tuple(a.shape), error.item(), allowed / ULP)


@each_exponent
def test_gradients_err_by_at_most_twice_what_the_reference_errs(p):
    g = torch.Generator().manual_seed(2)
    for case, x_BI, w_OI in made():
        grad_BO = torch.randn(len(x_BI), len(w_OI), generator=g)
        grad_BO[::3, ::2] *= 1e-4
        y_BO = torch.ops.zoo.lp_dist(x_BI, w_OI, p)
        check_gradients(case, (grad_BO, x_BI, w_OI, y_BO), p)


@each_exponent
@pytest.mark.parametrize("shape", [(1200, 4, 33), (4, 1200, 33)])
def test_gradients_that_are_sums_over_many_pairs_err_as_little(p, shape):
    x_BI, w_OI = operands(shape)
    grad_BO = torch.randn(shape[:2], generator=torch.Generator().manual_seed(2))
    check_gradients(
        ("normal", 1.0, shape), (grad_BO, x_BI, w_OI, torch.ops.zoo.lp_dist(x_BI, w_OI, p)), p
    )


@each_exponent
def test_float64_agrees_with_the_reference_to_twelve_digits(p):
    for case, x_BI, w_OI in made(torch.float64, SHAPES[:1]):
        y_BO, expected_BO = both("lp_dist", x_BI, w_OI, p)
        assert relative(y_BO, expected_BO) <= 1e-12, case
        grad_BO = torch.randn(y_BO.shape, dtype=torch.float64)
        arguments = grad_BO, x_BI, w_OI, expected_BO
        found, expected = both("lp_dist_backward", *arguments, p, True, True)
        for a, e, m, n in zip(
            found, expected, masses(*arguments, p), y_BO.shape[::-1], strict=True
        ):
            assert ((a - e).abs() <= 1e-12 * m + n * NEGLIGIBLE).all(), case


@pytest.mark.parametrize("p", [8.0, 12.0, 32.0])
def test_one_huge_entry_costs_the_other_pairs_nothing(p):
    x_BI, w_OI = operands((16, 8, 64))
    x_BI, w_OI = x_BI * 1e-3, w_OI * 1e-3
    x_BI[0, 0] = 9e34
    exact_BO = torch.ops.zoo.lp_dist_reference(x_BI.double(), w_OI.double(), p)
    found, reference = (relative(y, exact_BO) / ULP for y in both("lp_dist", x_BI, w_OI, p))
    assert found <= 2 * max(reference, 1)


@pytest.mark.parametrize("p", [31.5, 48.0, 64.0, 100.0])
@pytest.mark.parametrize("size", [1e14, 1e20, 1e30])
def test_gradients_stay_right_where_those_from_above_are_huge(p, size):
    x_BI, w_OI = operands((16, 8, 32))
    grad_BO = size * torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    y_BO = torch.ops.zoo.lp_dist_reference(x_BI, w_OI, p)
    arguments = grad_BO, x_BI, w_OI, y_BO, p, True, True
    for found, reference in zip(*both("lp_dist_backward", *arguments), strict=True):
        torch.testing.assert_close(found, reference, rtol=1e-3, atol=1e-5 * size)
