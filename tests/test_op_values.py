"""Distance values: exact at p = inf, accurate at finite p, NaN and infinity.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given

from tests import oracles
from tests.op_cases import FINITE, SHAPES, grads, operands, quick, same_bits, seeds, sizes
from zoo.ops import linf_dist, lp_dist

# ----------------------------------------------------------------------------------------- p = inf


@pytest.mark.parametrize("shape", SHAPES)
def test_linf_dist_is_the_brute_force_distance_bit_for_bit(shape):
    x_BI, w_OI = operands(shape)
    expected_BO = torch.from_numpy(oracles.linf_dist(x_BI.numpy(), w_OI.numpy()))
    assert same_bits(linf_dist(x_BI, w_OI), expected_BO)
    assert same_bits(lp_dist(x_BI, w_OI, math.inf), expected_BO)


@pytest.mark.parametrize("shape", SHAPES)
def test_linf_dist_has_the_same_bits_when_it_records_a_gradient(shape):
    x_BI, w_OI = operands(shape)
    assert same_bits(linf_dist(x_BI, w_OI.clone().requires_grad_()).detach(), linf_dist(x_BI, w_OI))


def test_linf_dist_of_non_contiguous_operands_has_the_same_bits():
    x_BI, w_OI = operands((5, 4, 9))
    x_view_BI = torch.stack([x_BI, -x_BI], 2)[..., 0]
    w_view_OI = w_OI.T.contiguous().T
    assert not x_view_BI.is_contiguous() and not w_view_OI.is_contiguous()
    expected_BO = torch.from_numpy(oracles.linf_dist(x_BI.numpy(), w_OI.numpy()))
    assert same_bits(linf_dist(x_view_BI, w_view_OI), expected_BO)
    grad_BO = torch.randn(4, 5).T
    dense = grads(linf_dist, grad_BO.contiguous(), x_BI, w_OI)
    viewed = torch.autograd.grad(
        linf_dist(x_view_BI.requires_grad_(), w_view_OI.requires_grad_()),
        [x_view_BI, w_view_OI],
        grad_BO,
    )
    assert all(torch.equal(a, b) for a, b in zip(dense, viewed, strict=True))


@quick
@given(sizes, seeds)
def test_linf_dist_commutes_with_permutations_bit_for_bit(shape, seed):
    x_BI, w_OI = operands(shape, seed)
    b, o, i = (torch.from_numpy(np.random.default_rng(seed).permutation(n)) for n in shape)
    assert same_bits(linf_dist(x_BI[b][:, i], w_OI[o][:, i]), linf_dist(x_BI, w_OI)[b][:, o])


# ---------------------------------------------------------------------------------------- finite p


@pytest.mark.parametrize("p", FINITE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_lp_dist_is_within_a_few_roundings_of_the_float64_distance(p, shape, scale):
    x_BI, w_OI = (tensor * scale for tensor in operands(shape))
    y_BO = lp_dist(x_BI, w_OI, p).numpy().astype(np.float64)
    expected_BO = oracles.lp_dist(x_BI.numpy(), w_OI.numpy(), p)
    # Each difference and each quotient round once; the power p multiplies that error by p and the
    # root divides it by p again. The sum's error, at most I roundings, is divided by p. Two powers,
    # two casts of the exponent and the last product make up the rest.
    relative = np.abs(y_BO - expected_BO) / expected_BO
    assert (relative <= (10 + shape[2] / p) * 2.0**-24).all()


def test_lp_dist_falls_in_p_towards_the_maximum():
    x_BI, w_OI = operands((20, 20, 50), dtype=torch.float64)
    values = [lp_dist(x_BI, w_OI, p) for p in [*FINITE, math.inf]]
    assert all((a >= b).all() for a, b in itertools.pairwise(values))
    torch.testing.assert_close(values[-2], values[-1], rtol=0.005, atol=0)


# ------------------------------------------------------------------------------------- NaN and inf


@pytest.mark.parametrize("p", [*FINITE, math.inf])
@pytest.mark.parametrize("at", [0, 7, 16])
@pytest.mark.parametrize("record", [False, True])
def test_nan_in_x_or_w_gives_nan_there_and_only_there(p, at, record):
    x_BI, w_OI = operands((4, 5, 17))
    x_BI[1, at], w_OI[3, at] = math.nan, math.nan
    expected_BO = torch.zeros(4, 5, dtype=torch.bool)
    expected_BO[1], expected_BO[:, 3] = True, True
    assert torch.equal(lp_dist(x_BI.requires_grad_(record), w_OI, p).isnan(), expected_BO)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("p", [*FINITE, math.inf])
def test_an_infinite_coordinate_gives_an_infinite_distance(p, sign):
    x_BI, w_OI = operands((2, 3, 4))
    x_BI[1, 2] = sign * math.inf
    y_BO = lp_dist(x_BI, w_OI, p)
    assert (y_BO[1] == math.inf).all() and y_BO[0].isfinite().all()
