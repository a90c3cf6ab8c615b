"""Distance gradients: the closed formula, gradcheck, ties and zero distances.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests import oracles
from tests.op_cases import FINITE, grads, operands, quick, seeds, sizes
from zoo.ops import linf_dist, lp_dist


def few_values(shape: tuple[int, int, int], seed: int) -> tuple[Tensor, Tensor]:
    """Operands from {-2, ..., 2}, float64: ties everywhere, and pairs at distance 0."""
    num_b, num_o, num_i = shape
    g = torch.Generator().manual_seed(seed)
    x_BI = torch.randint(-2, 3, (num_b, num_i), generator=g).double()
    return x_BI, torch.randint(-2, 3, (num_o, num_i), generator=g).double()


@pytest.mark.parametrize("p", [*FINITE, math.inf])
def test_gradients_follow_the_closed_formula(p):
    x_BI, w_OI = operands((4, 5, 9), dtype=torch.float64)
    grad_BO = torch.randn(4, 5, dtype=torch.float64)
    expected = oracles.lp_dist_grads(x_BI.numpy(), w_OI.numpy(), grad_BO.numpy(), p)
    got = grads(lambda x, w: lp_dist(x, w, p), grad_BO, x_BI, w_OI)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, torch.from_numpy(b), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("p", [1, 2, 3.7, 8, 20.5, 100, math.inf])
def test_lp_dist_passes_gradcheck(p):
    x_BI, w_OI = (t.requires_grad_() for t in operands((3, 4, 5), seed=1, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda x, w: lp_dist(x, w, p), (x_BI, w_OI))


@quick
@given(sizes, seeds, st.sampled_from([1, 2, 8, math.inf]))
def test_ties_and_zero_distances_have_the_formula_s_gradient(shape, seed, p):
    x_BI, w_OI = few_values(shape, seed)
    grad_BO = torch.from_numpy(np.random.default_rng(seed).standard_normal(shape[:2]))
    expected = oracles.lp_dist_grads(x_BI.numpy(), w_OI.numpy(), grad_BO.numpy(), p)
    got = grads(lambda x, w: lp_dist(x, w, p), grad_BO, x_BI, w_OI)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, torch.from_numpy(b), rtol=1e-9, atol=1e-11)


def test_a_tie_at_p_inf_goes_to_the_lowest_index_of_a_wide_row():
    x_BI = torch.zeros(1, 5000)
    x_BI[0, [1037, 1038, 2500, 4999]] = torch.tensor([-3.0, 3.0, 3.0, -3.0])
    grad_x_BI, grad_w_OI = grads(linf_dist, torch.ones(1, 2), x_BI, torch.zeros(2, 5000))
    assert grad_x_BI.nonzero().tolist() == [[0, 1037]] and grad_x_BI[0, 1037] == -2
    assert grad_w_OI.nonzero().tolist() == [[0, 1037], [1, 1037]]


@pytest.mark.parametrize("p", [*FINITE, math.inf])
def test_a_pair_at_distance_zero_has_value_and_gradient_zero(p):
    x_BI = torch.randn(2, 6)
    for x, w in ((x_BI, x_BI[:1]), (torch.zeros(2, 6), torch.zeros(1, 6))):
        assert lp_dist(x, w, p)[0, 0] == 0
        one_pair = torch.tensor([[1.0], [0.0]])
        for grad in grads(lambda x, w: lp_dist(x, w, p), one_pair, x, w):
            assert (grad == 0).all()
