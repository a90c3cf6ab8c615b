"""The order-statistic distance: brute force, exact weights, Lipschitz, gradients.

Shapes: B batch, O out features, I in features, K order statistics.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.op_cases import SHAPES, grads, operands, quick, same_bits, seeds, sizes
from zoo.errors import UsageError
from zoo.ops import linf_dist, order_weights, sort_dist

rhos = st.floats(0, 0.95)


@quick
@given(rhos, st.integers(1, 30))
def test_the_weights_sum_to_at_most_one_and_to_nearly_one(rho, k):
    weights = [Fraction(v) for v in order_weights(rho, k)]
    assert sum(weights) <= 1
    assert float(sum(weights)) == pytest.approx(1, abs=1e-6)
    assert weights == sorted(weights, reverse=True) and weights[-1] > 0
    assert all(float(np.float32(v)) == v for v in map(float, weights))


@pytest.mark.parametrize(("rho", "k"), [(1.0, 3), (-0.1, 3), (0.5, 0), (float("nan"), 3)])
def test_weights_out_of_range_are_refused(rho, k):
    with pytest.raises(UsageError, match="sort_dist: needs 0 <= rho < 1"):
        order_weights(rho, k)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rho", "k"), [(0.0, 10), (0.4, 10), (0.9, 3)])
def test_it_is_the_brute_force_sum_bit_for_bit(shape, dtype, rho, k):
    x_BI, w_OI = (t.numpy().astype(dtype) for t in operands(shape))
    sorted_BOI = np.sort(np.abs(x_BI[:, None] - w_OI[None]), 2)[..., ::-1]
    expected_BO = np.zeros(shape[:2], dtype)
    for j, weight in enumerate(order_weights(rho, min(k, shape[2]))):
        expected_BO = expected_BO + sorted_BOI[..., j] * dtype(weight)
    got_BO = sort_dist(torch.from_numpy(x_BI), torch.from_numpy(w_OI), rho, k)
    assert torch.equal(got_BO, torch.from_numpy(expected_BO))


def test_with_rho_zero_it_is_the_linf_distance():
    x_BI, w_OI = operands((5, 7, 40))
    assert same_bits(sort_dist(x_BI, w_OI, 0.0), linf_dist(x_BI, w_OI))


@quick
@given(sizes, seeds, rhos)
def test_it_commutes_with_permutations_of_the_features(shape, seed, rho):
    x_BI, w_OI = operands(shape, seed)
    i = torch.from_numpy(np.random.default_rng(seed).permutation(shape[2]))
    assert same_bits(sort_dist(x_BI[:, i], w_OI[:, i], rho, 4), sort_dist(x_BI, w_OI, rho, 4))


@quick
@given(sizes, seeds, rhos, st.floats(0, 3))
def test_it_is_1_lipschitz_in_linf(shape, seed, rho, eps):
    x_BI, w_OI = operands(shape, seed, torch.float64)
    g = torch.Generator().manual_seed(seed)
    corners_BI = x_BI + eps * torch.randn(x_BI.shape, generator=g, dtype=torch.float64).sign()
    change = (sort_dist(corners_BI, w_OI, rho, 5) - sort_dist(x_BI, w_OI, rho, 5)).abs().max()
    assert change <= eps * (1 + 1e-12) + 1e-12


@quick
@given(sizes, seeds, rhos)
def test_ties_keep_the_order_of_the_features(shape, seed, rho):
    g = torch.Generator().manual_seed(seed)
    x_BI = torch.randint(-2, 3, (shape[0], shape[2]), generator=g).double()
    w_OI = torch.randint(-2, 3, (shape[1], shape[2]), generator=g).double()
    grad_BO = torch.randn(shape[:2], generator=g).double()
    difference_BOI = (x_BI[:, None] - w_OI[None]).numpy()
    order_BOI = np.argsort(-np.abs(difference_BOI), axis=2, kind="stable")
    slope_BOI = np.zeros_like(difference_BOI)
    for j, weight in enumerate(order_weights(rho, min(4, shape[2]))):
        at_BO1 = order_BOI[..., j : j + 1]
        sign_BO1 = np.sign(np.take_along_axis(difference_BOI, at_BO1, 2))
        np.put_along_axis(slope_BOI, at_BO1, weight * sign_BO1, 2)
    got_x_BI, got_w_OI = grads(lambda x, w: sort_dist(x, w, rho, 4), grad_BO, x_BI, w_OI)
    expected_BOI = grad_BO.numpy()[..., None] * slope_BOI
    torch.testing.assert_close(got_x_BI, torch.from_numpy(expected_BOI.sum(1)))
    torch.testing.assert_close(got_w_OI, torch.from_numpy(-expected_BOI.sum(0)))


def test_it_passes_gradcheck():
    x_BI, w_OI = (t.requires_grad_() for t in operands((3, 4, 6), seed=1, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda x, w: sort_dist(x, w, 0.4, 3), (x_BI, w_OI))


@pytest.mark.parametrize("at", [0, 7, 16])
def test_nan_gives_nan_there_and_only_there(at):
    x_BI, w_OI = operands((4, 5, 17))
    x_BI[1, at], w_OI[3, at] = torch.nan, torch.nan
    expected_BO = torch.zeros(4, 5, dtype=torch.bool)
    expected_BO[1], expected_BO[:, 3] = True, True
    assert torch.equal(sort_dist(x_BI, w_OI, 0.4, 3).isnan(), expected_BO)
