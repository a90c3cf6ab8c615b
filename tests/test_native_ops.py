"""What native kernels promise next to the torch reference, on the kernels that this process loads.

At p = inf every bit. What they promise of errors at finite p is in test_native_errors.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.op_cases import both, operands, random_edges, same_bits, seeds
from zoo.errors import UsageError
from zoo.ops import linf_dist, order_weights

pytestmark = pytest.mark.usefixtures("kernels")

EXPONENTS = [1, 1.5, 2, 8, 12, 16, 20.5, 32, 64, 100, 1000]
each_exponent = pytest.mark.parametrize("p", EXPONENTS)
few = settings(max_examples=60, deadline=None, derandomize=True)
# Around the widths of vectors, tiles and chunks; and nothing at all.
counts = st.sampled_from([0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97])
widths = st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 127, 129, 513])
shapes = st.tuples(counts, counts, widths)
dtypes = st.sampled_from([torch.float32, torch.float64])
kinds = st.sampled_from(["normal", "ties", "subnormal"])
tiny = {torch.float32: 1e-42, torch.float64: 1e-320}
layouts = st.sampled_from(["dense", "transposed", "strided", "unaligned"])


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


def drawn(shape: tuple[int, int, int], seed: int, dtype: torch.dtype, kind: str) -> list[Tensor]:
    """x_BI and w_OI: "ties" hold few values, so that most maxima are taken many times."""
    change = {"normal": lambda t: t, "ties": torch.round, "subnormal": lambda t: t * tiny[dtype]}
    return [change[kind](t) for t in operands(shape, seed, dtype)]


# ----------------------------------------------------------------------------- p = inf: every bit


@few
@given(shapes, seeds, dtypes, kinds, layouts, layouts, st.sampled_from([1, 2]))
def test_values_at_p_inf_and_their_first_index_are_the_reference_s_to_the_bit(
    shape, seed, dtype, kind, layout_x, layout_w, number
):
    x_BI, w_OI = drawn(shape, seed, dtype, kind)
    x_BI, w_OI = laid_out(x_BI, layout_x), laid_out(w_OI, layout_w)
    with threads(number):
        y_BO, expected_BO = both("linf_dist", x_BI, w_OI)
        (y2_BO, at_BO), (_, expected_at_BO) = both("linf_dist_argmax", x_BI, w_OI)
    assert same_bits(y_BO, expected_BO) and same_bits(y2_BO, expected_BO)
    assert at_BO.dtype == torch.int32 and torch.equal(at_BO, expected_at_BO)


@few
@given(shapes, seeds, dtypes, kinds, layouts, st.sampled_from([1, 2]))
def test_bounds_are_the_reference_s_to_the_bit(shape, seed, dtype, kind, layout, number):
    x_BI, w_OI = drawn(shape, seed, dtype, kind)
    g = torch.Generator().manual_seed(seed)
    upper_BI = x_BI + torch.randint(0, 3, x_BI.shape, generator=g)
    box = laid_out(x_BI, layout), laid_out(upper_BI, layout), laid_out(w_OI, layout)
    with threads(number):
        found, expected = both("linf_dist_bounds", *box)
    # + 0, because the reference's maximum of 0 and -0 is either of the two.
    assert all(same_bits(a + 0, b + 0) for a, b in zip(found, expected, strict=True))


@few
@given(shapes, seeds, dtypes, kinds, st.integers(1, 12), st.sampled_from([1, 2]))
def test_order_statistics_and_their_bounds_are_the_reference_s_to_the_bit(
    shape, seed, dtype, kind, k, number
):
    x_BI, w_OI = drawn(shape, seed, dtype, kind)
    g = torch.Generator().manual_seed(seed)
    upper_BI = x_BI + torch.randint(0, 3, x_BI.shape, generator=g)
    v_K = torch.tensor(order_weights(0.4, min(k, shape[2])), dtype=dtype)
    with threads(number):
        y_BO, expected_BO = both("sort_dist", x_BI, w_OI, v_K)
        found, expected = both("order_dist_bounds", x_BI, upper_BI, w_OI, v_K)
        point, _ = torch.ops.zoo.order_dist_bounds(x_BI, x_BI, w_OI, v_K)
    assert same_bits(y_BO, expected_BO) and same_bits(point + 0, y_BO)
    assert all(same_bits(a + 0, b + 0) for a, b in zip(found, expected, strict=True))


@few
@given(shapes, seeds, dtypes, st.sampled_from([1, 2]))
def test_gradients_at_p_inf_are_the_reference_s_where_sums_are_exact(shape, seed, dtype, number):
    x_BI, w_OI = drawn(shape, seed, dtype, "ties")
    _, at_BO = torch.ops.zoo.linf_dist_argmax(x_BI, w_OI)
    # Small whole numbers add up to the same sum in any order.
    g = torch.Generator().manual_seed(seed)
    grad_BO = torch.randint(-8, 9, shape[:2], generator=g).to(dtype)
    with threads(number):
        found, expected = both("linf_dist_backward", grad_BO, x_BI, w_OI, at_BO)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@few
@given(shapes, seeds, dtypes, kinds)
def test_rows_alone_and_features_permuted_have_the_same_bits_at_p_inf(shape, seed, dtype, kind):
    x_BI, w_OI = drawn(shape, seed, dtype, kind)
    y_BO, at_BO = torch.ops.zoo.linf_dist_argmax(x_BI, w_OI)
    for b in range(0, shape[0], 7):
        y_1O, at_1O = torch.ops.zoo.linf_dist_argmax(x_BI[b : b + 1], w_OI)
        assert same_bits(y_1O[0], y_BO[b]) and torch.equal(at_1O[0], at_BO[b])
    order_I = torch.randperm(shape[2], generator=torch.Generator().manual_seed(seed))
    assert same_bits(torch.ops.zoo.linf_dist(x_BI[:, order_I], w_OI[:, order_I]), y_BO)


# --------------------------------------------------------------------- finite p: beside its error


def values_and_gradients(x_BI: Tensor, w_OI: Tensor, p: float) -> tuple[Tensor, ...]:
    y_BO = torch.ops.zoo.lp_dist(x_BI, w_OI, p)
    grad_BO = torch.ones_like(y_BO)
    return y_BO, *torch.ops.zoo.lp_dist_backward(grad_BO, x_BI, w_OI, y_BO, p, True, True)


@each_exponent
@pytest.mark.parametrize("shape", [(17, 33, 65), (5, 200, 129)])
def test_every_call_gives_the_same_bits_on_one_thread_and_on_two(p, shape):
    x_BI, w_OI = operands(shape)
    results = []
    for number in (1, 1, 2, 2):
        with threads(number):
            results.append(values_and_gradients(x_BI, w_OI, p))
    for other in results[1:]:
        assert all(same_bits(a, b) for a, b in zip(results[0], other, strict=True))


@each_exponent
@pytest.mark.parametrize("layout", ["transposed", "strided", "unaligned"])
def test_operands_laid_out_otherwise_have_the_same_bits(p, layout):
    x_BI, w_OI = operands((9, 18, 33))
    expected = values_and_gradients(x_BI, w_OI, p)
    found = values_and_gradients(laid_out(x_BI, layout), laid_out(w_OI, layout), p)
    assert all(same_bits(a, b) for a, b in zip(found, expected, strict=True))


@each_exponent
def test_subnormal_numbers_outlive_a_kernel_that_flushes_them(p):
    """Kernels at finite p flush; the threads they ran on must not go on doing so."""
    x_BI, w_OI = drawn((40, 40, 33), 0, torch.float32, "subnormal")
    with threads(2):
        torch.ops.zoo.lp_dist(*operands((40, 40, 33)), p)
        y_BO, expected_BO = both("linf_dist", x_BI, w_OI)
        assert same_bits(y_BO, expected_BO) and (y_BO > 0).all()
        assert (torch.full((10**6,), 1e-40) * 0.5 > 0).all()


@pytest.mark.parametrize("p", [1, 2, 8, 20.5, 64, 100])
def test_distances_near_the_largest_float_and_beyond_are_the_reference_s(p):
    for size in 6e37, 1e38, torch.finfo(torch.float32).max:
        x_BI = size * torch.tensor([[1.0, 0.3, -0.2, 0.5], [0.1, 0.0, 0.0, -0.1]])
        y_BO, expected_BO = both("lp_dist", x_BI, -x_BI, p)
        torch.testing.assert_close(y_BO, expected_BO, rtol=1e-5, atol=0)


# -------------------------------------------------------------- NaN, inf, equal pairs, halves


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 31, 32, 64])
@pytest.mark.parametrize("of_w", [False, True])
def test_what_is_not_finite_reaches_its_own_row_and_no_other(value, at, of_w):
    x_BI, w_OI = operands((9, 18, 65))
    expected_BO = torch.zeros(9, 18, dtype=torch.bool)
    if of_w:
        w_OI[17, at], expected_BO[:, 17] = value, True
    else:
        x_BI[8, at], expected_BO[8] = value, True
    results = [torch.ops.zoo.lp_dist(x_BI, w_OI, p) for p in EXPONENTS]
    results += torch.ops.zoo.linf_dist(x_BI, w_OI), torch.ops.zoo.linf_dist_argmax(x_BI, w_OI)[0]
    results += torch.ops.zoo.linf_dist_bounds(x_BI, x_BI, w_OI)
    for y_BO in results:
        assert torch.equal(y_BO.isnan() if math.isnan(value) else y_BO == math.inf, expected_BO)
        assert torch.equal(~y_BO.isfinite(), expected_BO)


@each_exponent
def test_nan_in_an_operand_is_nan_in_the_gradients_that_it_enters(p):
    for which in range(3):
        x_BI, w_OI = operands((9, 18, 65))
        arguments = [torch.ones(9, 18), x_BI, w_OI]
        y_BO = torch.ops.zoo.lp_dist(x_BI, w_OI, p)
        arguments[which][5, 7] = math.nan
        found, expected = both("lp_dist_backward", *arguments, y_BO, p, True, True)
        assert any(a.isnan().any() for a in found)
        assert all(torch.equal(a.isnan(), b.isnan()) for a, b in zip(found, expected, strict=True))


@each_exponent
def test_equal_pairs_have_distance_and_gradient_zero(p):
    x_BI, _ = operands((18, 1, 65))
    y_BO = torch.ops.zoo.lp_dist(x_BI, x_BI, p)
    assert torch.equal(y_BO == 0, torch.eye(18, dtype=torch.bool))
    for grad in torch.ops.zoo.lp_dist_backward(torch.eye(18), x_BI, x_BI, y_BO, p, True, True):
        assert (grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_reference_s_to_the_bit(dtype):
    x_BI, w_OI = (t.to(dtype) for t in operands((9, 18, 65)))
    y_BO, at_BO = torch.ops.zoo.linf_dist_argmax_reference(x_BI, w_OI)
    grad_BO = torch.ones_like(y_BO)
    for name, arguments in {
        "linf_dist": (x_BI, w_OI),
        "linf_dist_argmax": (x_BI, w_OI),
        "linf_dist_backward": (grad_BO, x_BI, w_OI, at_BO),
        "linf_dist_bounds": (x_BI, x_BI + 1, w_OI),
        "lp_dist": (x_BI, w_OI, 8.0),
        "lp_dist_backward": (grad_BO, x_BI, w_OI, y_BO, 8.0, True, True),
    }.items():
        found, expected = both(name, *arguments)
        tensors = zip(
            *((r,) if isinstance(r, Tensor) else r for r in (found, expected)), strict=True
        )
        assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in tensors), name


# -------------------------------------------------------------------------- what must not be given


def wrong_calls() -> dict[str, tuple[str, tuple]]:
    """Calls past zoo.ops, each of which would have a kernel read or write where it must not."""
    x_BI, w_OI = operands((4, 5, 8))
    grad_BO, at_BO = torch.zeros(4, 5), torch.zeros(4, 5, dtype=torch.int32)
    edges = random_edges((4, 5, 8))
    return {
        "features differ": ("linf_dist", (x_BI, w_OI[:, :7])),
        "features differ at finite p": ("lp_dist", (x_BI, w_OI[:, :7], 8.0)),
        "types differ": ("linf_dist", (x_BI.double(), w_OI)),
        "no features": ("linf_dist_argmax", (x_BI[:, :0], w_OI[:, :0])),
        "one dimension": ("linf_dist", (x_BI[0], w_OI)),
        "boxes differ": ("linf_dist_bounds", (x_BI, x_BI[:3], w_OI)),
        "a winner beyond": ("linf_dist_backward", (grad_BO, x_BI, w_OI, at_BO + 8)),
        "a winner before": ("linf_dist_backward", (grad_BO, x_BI, w_OI, at_BO - 1)),
        "winners in int64": ("linf_dist_backward", (grad_BO, x_BI, w_OI, at_BO.long())),
        "a small gradient": (
            "lp_dist_backward",
            (grad_BO[:1, :1], x_BI, w_OI, grad_BO[:1, :1], 8.0, True, True),
        ),
        "too many order statistics": ("sort_dist_at", (x_BI, w_OI, 9)),
        "more weights than features": ("order_dist_bounds", (x_BI, x_BI, w_OI, torch.ones(9))),
        "upper ends of another shape": (
            "order_dist_bounds",
            (x_BI, x_BI[:3], w_OI, torch.ones(2)),
        ),
        "weights in float64": ("sort_dist", (x_BI, w_OI, torch.ones(2).double())),
        "values in float64": ("linf_dist_sparse", (x_BI, edges[0].double(), *edges[1:])),
        "indices in int64": ("linf_dist_sparse", (x_BI, edges[0], edges[1].long(), edges[2])),
    }


@pytest.mark.parametrize("why", wrong_calls())
def test_a_call_past_the_checks_of_python_is_refused_by_the_kernel_s_own(why):
    name, arguments = wrong_calls()[why]
    with pytest.raises(RuntimeError, match=f"{name}: "):
        getattr(torch.ops.zoo, name)(*arguments)


def test_autocast_does_not_let_types_pass_that_it_does_not_cast():
    x_BI, w_OI = operands((4, 5, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(UsageError, match="both must"):
        linf_dist(x_BI.double(), w_OI)


@pytest.mark.parametrize("p", [8.0, 40.5])
def test_operands_that_are_not_contiguous_have_gradients_as_torch_expects_them(p):
    x_BI, w_OI = operands((4, 5, 8))
    x_BI, w_OI = x_BI.T.contiguous().T, w_OI.T.contiguous().T
    y_BO = torch.ops.zoo.lp_dist(x_BI, w_OI, p)
    torch.library.opcheck(
        torch.ops.zoo.lp_dist_backward.default, (y_BO, x_BI, w_OI, y_BO, p, True, True)
    )
    y_BO, at_BO = torch.ops.zoo.linf_dist_argmax(x_BI, w_OI)
    torch.library.opcheck(torch.ops.zoo.linf_dist_backward.default, (y_BO, x_BI, w_OI, at_BO))
