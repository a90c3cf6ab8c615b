"""What native kernels promise next to the torch reference, on the kernels that this process loads.

At p = inf every bit; at finite p an error at most twice the reference's own, both measured against
the reference in float64.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.op_cases import operands, same_bits, seeds
from zoo.ops import native

EXPONENTS = [1, 1.5, 2, 3.7, 8, 10.3, 12, 16, 24, 32, 40.5, 48, 64, 65, 100, 300, 1000]
ULP = 2.0**-23
NEGLIGIBLE = 1e-12  # |grad| * slope below which a kernel may leave an entry out

each_exponent = pytest.mark.parametrize("p", EXPONENTS)
few = settings(max_examples=60, deadline=None, derandomize=True)
# Around the widths of vectors, tiles and chunks; and nothing at all.
counts = st.sampled_from([0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97])
widths = st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 127, 129, 513])
shapes = st.tuples(counts, counts, widths)
dtypes = st.sampled_from([torch.float32, torch.float64])
layouts = st.sampled_from(["dense", "transposed", "strided", "unaligned"])


@pytest.fixture(autouse=True, scope="module")
def kernels() -> None:
    if not native.load():
        pytest.skip(f"no native kernels: {native.describe()}")


def both(name: str, *arguments: Any) -> tuple[Any, Any]:
    """What the op and its reference make of the same arguments."""
    op, reference = (getattr(torch.ops.zoo, each) for each in (name, f"{name}_reference"))
    return op(*arguments), reference(*arguments)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def laid_out(values_RI: Tensor, layout: str) -> Tensor:
    """The same values, in memory otherwise."""
    if layout == "transposed":
        return values_RI.T.contiguous().T
    if layout == "strided":
        return torch.stack([values_RI, values_RI + 1], 2)[..., 0]
    if layout == "unaligned":
        return torch.cat([values_RI.new_ones(1), values_RI.flatten()])[1:].view(values_RI.shape)
    return values_RI


def drawn(shape: tuple[int, int, int], seed: int, dtype: torch.dtype, ties: bool) -> list[Tensor]:
    """x_BI and w_OI; with ties they hold few values, so that most maxima are taken many times."""
    x_BI, w_OI = operands(shape, seed, dtype)
    return [t.round() if ties else t for t in (x_BI, w_OI)]


# ----------------------------------------------------------------------------- p = inf: every bit


@few
@given(shapes, seeds, dtypes, st.booleans(), layouts, layouts, st.sampled_from([1, 2]))
def test_values_at_p_inf_and_their_first_index_are_the_reference_s_to_the_bit(
    shape, seed, dtype, ties, layout_x, layout_w, number
):
    x_BI, w_OI = drawn(shape, seed, dtype, ties)
    x_BI, w_OI = laid_out(x_BI, layout_x), laid_out(w_OI, layout_w)
    with threads(number):
        y_BO, expected_BO = both("linf_dist", x_BI, w_OI)
        (y2_BO, at_BO), (_, expected_at_BO) = both("linf_dist_argmax", x_BI, w_OI)
    assert same_bits(y_BO, expected_BO) and same_bits(y2_BO, expected_BO)
    assert at_BO.dtype == torch.int32 and torch.equal(at_BO, expected_at_BO)


@few
@given(shapes, seeds, dtypes, st.booleans(), layouts, st.sampled_from([1, 2]))
def test_bounds_are_the_reference_s_to_the_bit(shape, seed, dtype, ties, layout, number):
    x_BI, w_OI = drawn(shape, seed, dtype, ties)
    upper_BI = x_BI + torch.rand_like(x_BI).mul_(2).round_()
    box = laid_out(x_BI, layout), laid_out(upper_BI, layout), laid_out(w_OI, layout)
    with threads(number):
        found, expected = both("linf_dist_bounds", *box)
    assert all(same_bits(a, b) for a, b in zip(found, expected, strict=True))


@few
@given(shapes, seeds, dtypes, st.sampled_from([1, 2]))
def test_gradients_at_p_inf_are_the_reference_s_where_sums_are_exact(shape, seed, dtype, number):
    x_BI, w_OI = drawn(shape, seed, dtype, True)
    _, at_BO = torch.ops.zoo.linf_dist_argmax(x_BI, w_OI)
    # Small whole numbers add up to the same sum in any order.
    grad_BO = torch.randint(-8, 9, shape[:2]).to(dtype)
    with threads(number):
        found, expected = both("linf_dist_backward", grad_BO, x_BI, w_OI, at_BO)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@few
@given(shapes, seeds, dtypes, st.booleans())
def test_rows_alone_and_features_permuted_have_the_same_bits_at_p_inf(shape, seed, dtype, ties):
    x_BI, w_OI = drawn(shape, seed, dtype, ties)
    y_BO, at_BO = torch.ops.zoo.linf_dist_argmax(x_BI, w_OI)
    for b in range(0, shape[0], 7):
        y_1O, at_1O = torch.ops.zoo.linf_dist_argmax(x_BI[b : b + 1], w_OI)
        assert same_bits(y_1O[0], y_BO[b]) and torch.equal(at_1O[0], at_BO[b])
    order_I = torch.randperm(shape[2], generator=torch.Generator().manual_seed(seed))
    assert same_bits(torch.ops.zoo.linf_dist(x_BI[:, order_I], w_OI[:, order_I]), y_BO)


# --------------------------------------------------------------------------- finite p: its error


def offset(size: float) -> Any:
    """Weights as a layer starts with that copies its input: -size at one coordinate of each row."""

    def change(x_BI: Tensor, w_OI: Tensor) -> None:
        rows = torch.arange(len(w_OI))
        w_OI[rows, rows % w_OI.shape[1]] = -size

    return change


def close(x_BI: Tensor, w_OI: Tensor) -> None:
    """Pairs at distances from 1e-1 to 1e-6 among pairs at distance 1."""
    for k in range(min(6, len(x_BI), len(w_OI))):
        x_BI[k] = w_OI[k] + 10.0 ** -(k + 1) * torch.sign(x_BI[k])


def few_values(x_BI: Tensor, w_OI: Tensor) -> None:
    """Differences that are 0, or equal to one another."""
    x_BI.round_(), w_OI.round_()


KINDS = {
    "normal": lambda x_BI, w_OI: None,
    "offset10": offset(10),
    "offset1e4": offset(1e4),
    "close": close,
    "few": few_values,
}
SHAPES = [(9, 37, 65), (3, 20, 700)]
SCALES = [1e-30, 1.0, 1e30]
cases = pytest.mark.parametrize(("kind", "scale"), list(itertools.product(KINDS, SCALES)))


def made(kind: str, scale: float, shape: tuple[int, int, int], dtype=torch.float32) -> list[Tensor]:
    x_BI, w_OI = operands(shape, dtype=dtype)
    KINDS[kind](x_BI, w_OI)
    return [x_BI * scale, w_OI * scale]


def relative(y_BO: Tensor, exact_BO: Tensor) -> float:
    """Largest relative error; a distance of 0 has to be 0."""
    assert torch.equal(y_BO == 0, exact_BO == 0)
    return ((y_BO.double() - exact_BO).abs() / exact_BO.where(exact_BO > 0, 1)).max().item()


@each_exponent
@cases
def test_values_err_by_at_most_twice_what_the_reference_errs(p, kind, scale):
    for shape in SHAPES:
        x_BI, w_OI = made(kind, scale, shape)
        exact_BO = torch.ops.zoo.lp_dist_reference(x_BI.double(), w_OI.double(), p)
        found, reference = (relative(y, exact_BO) for y in both("lp_dist", x_BI, w_OI, p))
        assert found <= 2 * max(reference, ULP), (shape, found / ULP, reference / ULP)


def masses(grad_BO: Tensor, x_BI: Tensor, w_OI: Tensor, y_BO: Tensor, p: float) -> list[Tensor]:
    """What a gradient is a sum of, in size: sum_o |grad_bo| slope_boi, and the same over b."""
    t_BOI = (x_BI[:, None] - w_OI).abs().double()
    y_BO1 = y_BO.double()[..., None]
    slope_BOI = (t_BOI / y_BO1.where(y_BO1 > 0, 1)) ** (p - 1) * (t_BOI > 0)
    terms_BOI = grad_BO.double().abs()[..., None] * slope_BOI
    return [terms_BOI.sum(1), terms_BOI.sum(0)]


def check_gradients(arguments: tuple[Tensor, ...], p: float) -> None:
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
        allowed = max(allowed, ((b - e).abs() / m)[counts].max().item()) if counts.any() else allowed
    for a, e, m, n in zip(found, exact, mass, terms, strict=True):
        excess = (a - e).abs() - (2 * allowed * m + n * NEGLIGIBLE)
        worst = excess.argmax()
        error = ((a - e).abs() / m).flatten()[worst] / ULP
        assert (excess <= 0).all(), (tuple(a.shape), error.item(), allowed / ULP)


@each_exponent
@cases
def test_gradients_err_by_at_most_twice_what_the_reference_errs(p, kind, scale):
    for shape in SHAPES:
        x_BI, w_OI = made(kind, scale, shape)
        grad_BO = torch.randn(shape[:2], generator=torch.Generator().manual_seed(2))
        grad_BO[::3, ::2] *= 1e-4
        check_gradients((grad_BO, x_BI, w_OI, torch.ops.zoo.lp_dist(x_BI, w_OI, p)), p)
