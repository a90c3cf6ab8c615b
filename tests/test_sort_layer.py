"""SortDistLinear: order statistics in eval mode, distances over random inputs in training.

Shapes: B batch, C calls, I in features, O out features, S sub-batches, N features that are kept,
K order statistics.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.op_cases import box_operands, operands, quick, same_bits, seeds, sizes
from zoo.errors import UsageError
from zoo.layers import LpDistLinear, SortDistLinear, set_exponent
from zoo.ops import lp_dist, order_dist, order_dist_bounds, order_weights, sort_dist
from zoo.ops.kept_dist import kept_dist, random_subsets
from zoo.rounding import NAIVE
from zoo.rules import Rounded, describe, forward_error, interval, obstacle

pytestmark = pytest.mark.usefixtures("one_thread")
rhos = st.floats(0, 0.95)


def layer_of(num_in: int = 40, num_out: int = 6, seed: int = 0, **arguments) -> SortDistLinear:
    torch.manual_seed(seed)
    return SortDistLinear(num_in, num_out, **({"rho": 0.3} | arguments))


# ------------------------------------------------------------------------------------------ in eval


@pytest.mark.parametrize("bias", [False, True])
def test_in_eval_mode_it_is_the_sum_of_its_order_statistics_plus_its_bias(bias):
    layer, x_BI = layer_of(bias=bias).eval(), torch.randn(5, 40)
    expected_BO = sort_dist(x_BI, layer.weight, 0.3)
    if bias:
        torch.nn.init.normal_(layer.bias)
        expected_BO = expected_BO + layer.bias
    assert same_bits(layer(x_BI), expected_BO)


@quick
@given(rhos, st.integers(1, 30), st.integers(1, 12))
def test_its_weights_are_published_and_sum_to_at_most_one(rho, k, num_in):
    layer = SortDistLinear(num_in, 2, rho=rho, k=k)
    assert layer.order_K.tolist() == list(order_weights(rho, min(k, num_in)))
    assert layer.state_dict()["order_K"].dtype == torch.float32
    assert sum(map(Fraction, layer.order_K.tolist())) == layer.gain <= 1


def test_with_rho_zero_it_is_a_distance_layer():
    layer, plain = layer_of(rho=0, bias=True), LpDistLinear(40, 6, bias=True)
    plain.load_state_dict({k: v for k, v in layer.state_dict().items() if k != "order_K"})
    x_BI = torch.randn(9, 40)
    for training in (True, False):
        for p in (8.0, math.inf):
            set_exponent(torch.nn.ModuleList([layer, plain]), p)
            assert same_bits(layer.train(training)(x_BI), plain(x_BI))


@quick
@given(sizes, seeds, rhos, st.floats(0, 2))
def test_its_interval_holds_every_point_of_a_box(shape, seed, rho, eps):
    x_BI, w_OI = operands(shape, seed)
    layer = SortDistLinear(shape[2], shape[1], rho=rho, k=4).eval()
    layer.weight.data.copy_(w_OI)
    lower_BI, upper_BI = x_BI - eps, x_BI + eps
    with torch.no_grad():
        lower_BO, upper_BO = interval(layer, lower_BI, upper_BI, NAIVE)
        g = torch.Generator().manual_seed(seed)
        for share_BI in torch.rand(20, *x_BI.shape, generator=g).mul(3).sub(1).clamp(0, 1):
            point_BI = lower_BI + share_BI * (upper_BI - lower_BI)
            y_BO = layer(point_BI.clamp(lower_BI, upper_BI))
            assert (lower_BO <= y_BO).all() and (y_BO <= upper_BO).all()


@pytest.mark.parametrize("at", [0, 5])
def test_bounds_of_what_is_not_a_number_are_none(at):
    lower_BI, upper_BI, w_OI = box_operands((3, 4, 6))
    lower_BI[1, at], w_OI[2, at] = torch.nan, torch.nan
    v_K = torch.tensor(order_weights(0.5, 3))
    expected_BO = torch.zeros(3, 4, dtype=torch.bool)
    expected_BO[1], expected_BO[:, 2] = True, True
    for end_BO in order_dist_bounds(lower_BI, upper_BI, w_OI, v_K):
        assert torch.equal(end_BO.isnan(), expected_BO)


def test_gradients_reach_inputs_weights_and_order_weights():
    x_BI, w_OI = (t.requires_grad_() for t in operands((3, 4, 6), seed=1, dtype=torch.float64))
    v_K = torch.tensor([0.5, 0.3, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(order_dist, (x_BI, w_OI, v_K))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((7,), torch.float32),
        ((0,), torch.float32),
        ((2, 1), torch.float32),
        ((2,), torch.float64),
        ((2,), torch.float16),
    ],
)
def test_order_weights_that_do_not_fit_are_refused(shape, dtype):
    (x_BI, w_OI), v_K = operands((3, 4, 6)), torch.ones(shape, dtype=dtype)
    for op in (order_dist, lambda x, w, v: order_dist_bounds(x, x, w, v)):
        with pytest.raises(UsageError, match=r"order weights in torch\.float32"):
            op(x_BI, w_OI, v_K)


# ------------------------------------------------------------------------------------- in training


@pytest.mark.parametrize("p", [8.0, math.inf])
def test_it_trains_as_a_distance_over_the_inputs_that_are_kept(p):
    layer, x_BI = layer_of(sub_batch=4), torch.randn(10, 40)
    layer.p = p
    torch.manual_seed(5)
    y_BO = layer(x_BI)
    torch.manual_seed(5)
    kept_SN = random_subsets(40, 0.7, 3)
    torch.manual_seed(5)
    assert same_bits(layer(x_BI), y_BO) and not same_bits(layer(x_BI), y_BO)
    weight_OI = layer.weight
    expected = [
        lp_dist(x_bI[:, kept_N], weight_OI[:, kept_N], p)
        for x_bI, kept_N in zip(x_BI.split(4), kept_SN, strict=True)
    ]
    assert same_bits(y_BO, torch.cat(expected))


def test_with_all_kept_it_trains_as_it_is_evaluated_at_p_inf():
    layer, x_BI = layer_of(keep=1), torch.randn(10, 40)
    y_BO = layer(x_BI)
    assert same_bits(y_BO, layer.eval()(x_BI))
    (grad_OI,) = torch.autograd.grad(y_BO.sum(), layer.weight)
    assert (grad_OI != 0).sum(1).min() >= 10


def test_at_finite_p_in_eval_mode_it_is_the_distance_to_all_inputs():
    layer, x_BI = layer_of().eval(), torch.randn(10, 40)
    layer.p = 8.0
    assert same_bits(layer(x_BI), lp_dist(x_BI, layer.weight, 8.0))


@pytest.mark.parametrize("rho", [0.15, 0.4])
def test_the_mean_of_what_it_trains_on_is_what_it_is(rho):
    layer = layer_of(rho=rho, k=40, sub_batch=1)
    x_BI = torch.randn(1, 40).expand(10, 40)
    with torch.no_grad():
        # One call's samples share the number of inputs that are kept; its mean is one sample.
        means_CO = torch.stack([layer(x_BI).mean(0) for _ in range(600)])
        (evaluated_O,) = layer.eval()(x_BI[:1])
    error_O = means_CO.std(0) / math.sqrt(len(means_CO))
    assert ((means_CO.mean(0) - evaluated_O).abs() < 4 * error_O).all()
    assert (error_O < 0.01 * evaluated_O).all()
    assert (layer.train()(x_BI[:1]) <= lp_dist(x_BI[:1], layer.weight, math.inf)).all()


def test_subsets_are_sorted_without_repeats_and_as_large_as_coins_make_them():
    torch.manual_seed(0)
    drawn = [random_subsets(30, 0.7, 3) for _ in range(300)]
    for kept_SN in drawn:
        assert kept_SN.shape[0] == 3 and (kept_SN.diff(dim=1) > 0).all()
        assert kept_SN.min() >= 0 and kept_SN.max() < 30
    counts = torch.tensor([float(kept_SN.shape[1]) for kept_SN in drawn])
    assert counts.mean() == pytest.approx(21, abs=0.6)
    assert counts.std() == pytest.approx(math.sqrt(30 * 0.7 * 0.3), rel=0.15)
    often_I = torch.cat([kept_SN.flatten() for kept_SN in drawn]).bincount(minlength=30) / 900
    assert (often_I - 0.7).abs().max() < 0.08
    assert all(random_subsets(3, 1e-9, 2).shape == (2, 1) for _ in range(20))


@pytest.mark.parametrize("p", [2.0, 8.0, math.inf])
def test_gradients_of_kept_inputs_are_right_and_others_are_zero(p):
    x_BI, w_OI = (t.requires_grad_() for t in operands((5, 3, 8), seed=2, dtype=torch.float64))
    torch.manual_seed(1)
    kept_SN = random_subsets(8, 0.5, 3)
    assert torch.autograd.gradcheck(lambda x, w: kept_dist(x, w, p, kept_SN, 2), (x_BI, w_OI))
    (grad_BI,) = torch.autograd.grad(kept_dist(x_BI, w_OI, p, kept_SN, 2).sum(), x_BI)
    for b, grad_I in enumerate(grad_BI):
        left_out_I = torch.ones(8, dtype=torch.bool)
        left_out_I[kept_SN[b // 2]] = False
        assert (grad_I[left_out_I] == 0).all() and (grad_I != 0).any()


def test_sub_batches_that_do_not_fit_are_refused():
    x_BI, w_OI = operands((5, 3, 8))
    with pytest.raises(UsageError, match="5 rows in sub-batches of 2 need a row of features each"):
        kept_dist(x_BI, w_OI, 8.0, torch.zeros(2, 1, dtype=torch.int64), 2)
    with pytest.raises(UsageError, match="p must be at least 1"):
        kept_dist(x_BI, w_OI, 0.5, torch.zeros(3, 1, dtype=torch.int64), 2)


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "arguments",
    [{"rho": 1.0}, {"rho": -0.1}, {"k": 0}, {"keep": 0}, {"keep": 1.1}, {"sub_batch": 0}],
)
def test_settings_out_of_range_are_refused(arguments):
    with pytest.raises(UsageError, match="needs 0"):
        layer_of(**arguments)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ([0.5, 0.5 + 2**-23], "more than 1"),
        ([1.5, -0.5], "positive"),
        ([1.0, 0.0], "positive"),
        ([0.5, math.nan], "positive"),
        ([0.5, math.inf], "positive"),
    ],
)
def test_order_weights_that_no_certificate_can_use_are_refused_by_every_rule(order, reason):
    layer, x_BI = layer_of(k=2).eval(), torch.randn(2, 40)
    assert obstacle(layer) is None
    layer.order_K.copy_(torch.tensor(order))
    assert reason in obstacle(layer)
    for ask in (
        lambda: interval(layer, x_BI, x_BI),
        lambda: forward_error(layer, Rounded(x_BI, torch.zeros(()).double(), 0), 2.0**-24),
        lambda: describe(layer, "dist"),
    ):
        with pytest.raises(UsageError, match=reason):
            ask()


def test_train_mode_and_finite_p_have_no_bounds():
    layer, x_BI = layer_of(), torch.randn(2, 40)
    with pytest.raises(UsageError, match=r"model\.eval\(\)"):
        interval(layer, x_BI, x_BI)
    layer.eval().p = 1000.0
    with pytest.raises(UsageError, match="p = 1000"):
        interval(layer, x_BI, x_BI)


def test_its_roundings_are_counted_and_its_gain_is_exact():
    layer = layer_of(bias=True).eval()
    x = Rounded(torch.randn(2, 40), torch.zeros((), dtype=torch.float64), 0)
    with torch.no_grad():
        found = forward_error(layer, x, 2.0**-24)
    assert (found.num_roundings, found.gain) == (10 + 2 + 1, layer.gain)
    assert 1 - found.gain < Fraction(1, 2**20)
