"""linf_dist_bounds: the exact image of a box, its gradients, NaN and infinite ends.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given

from tests import oracles
from tests.op_cases import box_operands, grads, operands, quick, seeds, sizes
from zoo.errors import UsageError
from zoo.ops import linf_dist, linf_dist_bounds

# ------------------------------------------------------------------------------------------ values


@quick
@given(sizes, seeds)
def test_bounds_are_the_brute_force_image_bit_for_bit(shape, seed):
    box = box_operands(shape, seed)
    expected = oracles.linf_dist_bounds(*(tensor.numpy() for tensor in box))
    for end_BO, expected_BO in zip(linf_dist_bounds(*box), expected, strict=True):
        assert torch.equal(end_BO, torch.from_numpy(expected_BO))


@quick
@given(sizes, seeds)
def test_bounds_hold_every_float_point_of_the_box_bit_for_bit(shape, seed):
    lower_BI, upper_BI, w_OI = box_operands(shape, seed)
    lower_BO, upper_BO = linf_dist_bounds(lower_BI, upper_BI, w_OI)
    assert (0 <= lower_BO).all() and (lower_BO <= upper_BO).all()
    rng = np.random.default_rng(seed)
    middle_BI = lower_BI + (upper_BI - lower_BI) * torch.from_numpy(
        rng.random(lower_BI.shape, np.float32)
    )
    near_w_BI = w_OI[rng.integers(len(w_OI), size=len(lower_BI))]
    choices = [
        lower_BI,
        upper_BI,
        middle_BI,
        near_w_BI,
        *(torch.nextafter(a, b) for a, b in ((lower_BI, upper_BI), (upper_BI, lower_BI))),
    ]
    for _ in range(20):
        pick_BI = torch.from_numpy(rng.integers(len(choices), size=lower_BI.shape))
        x_BI = torch.stack(choices).gather(0, pick_BI[None])[0].clamp(lower_BI, upper_BI)
        y_BO = linf_dist(x_BI, w_OI)
        assert (lower_BO <= y_BO).all() and (y_BO <= upper_BO).all()


def test_bounds_are_attained_in_the_box():
    """Exact image: the far corner and the point nearest to w reach the two ends."""
    for seed in range(30):
        lower_BI, upper_BI, w_OI = box_operands((1, 1, 4), seed)
        lower_BO, upper_BO = linf_dist_bounds(lower_BI, upper_BI, w_OI)
        corners = torch.cartesian_prod(*torch.cat([lower_BI, upper_BI]).T)
        assert linf_dist(corners, w_OI).max() == upper_BO.item()
        nearest_BI = w_OI.clamp(lower_BI, upper_BI)
        assert linf_dist(nearest_BI, w_OI).item() == lower_BO.item()


def test_a_box_of_one_point_has_its_distance_as_both_bounds():
    x_BI, w_OI = operands((6, 5, 7))
    for end_BO in linf_dist_bounds(x_BI, x_BI, w_OI):
        assert torch.equal(end_BO, linf_dist(x_BI, w_OI))


def test_a_box_that_holds_w_has_lower_bound_zero():
    w_OI = torch.randn(4, 6)
    lower_BO, upper_BO = linf_dist_bounds(w_OI - 0.1, w_OI + 0.2, w_OI)
    assert (lower_BO.diagonal() == 0).all() and (upper_BO.diagonal() > 0.19).all()


def test_ends_of_different_shapes_are_refused():
    with pytest.raises(UsageError, match="linf_dist_bounds"):
        linf_dist_bounds(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(1, 3))


def test_ends_of_different_batch_sizes_are_refused():
    with pytest.raises(UsageError, match="linf_dist_bounds"):
        linf_dist_bounds(torch.zeros(2, 3), torch.zeros(1, 3), torch.zeros(1, 3))


# --------------------------------------------------------------------------------------- gradients


def test_linf_dist_bounds_passes_gradcheck():
    box = [t.requires_grad_() for t in box_operands((3, 4, 2), seed=3, dtype=torch.float64)]
    lower_BO, _ = linf_dist_bounds(*box)
    assert (lower_BO == 0).any() and (lower_BO > 0).any()
    assert torch.autograd.gradcheck(linf_dist_bounds, tuple(box))


def test_a_tie_between_bounds_goes_to_the_lowest_index():
    lower_BI, upper_BI, w_OI = torch.full((1, 4), 1.0), torch.full((1, 4), 2.0), torch.zeros(1, 4)
    for end, expected in (0, ([1, 0, 0, 0], [0, 0, 0, 0])), (1, ([0, 0, 0, 0], [1, 0, 0, 0])):
        of_lower, of_upper, of_w = grads(
            lambda *box, end=end: linf_dist_bounds(*box)[end],
            torch.ones(1, 1),
            lower_BI,
            upper_BI,
            w_OI,
        )
        assert (of_lower[0].tolist(), of_upper[0].tolist()) == expected
        assert of_w[0].tolist() == [-1, 0, 0, 0]


def test_a_lower_bound_of_zero_has_no_gradient():
    box = torch.full((1, 3), -1.0), torch.full((1, 3), 1.0), torch.zeros(1, 3)
    for grad in grads(lambda *box: linf_dist_bounds(*box)[0], torch.ones(1, 1), *box):
        assert (grad == 0).all()


# ------------------------------------------------------------------------------------- NaN and inf


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("at", [0, 7, 16])
def test_nan_in_an_end_or_w_gives_nan_bounds_there_and_only_there(which, at):
    box = box_operands((4, 5, 17))
    box[which][2, at] = math.nan
    expected_BO = torch.zeros(4, 5, dtype=torch.bool)
    expected_BO[(slice(None), 2) if which == 2 else 2] = True
    for end_BO in linf_dist_bounds(*box):
        assert torch.equal(end_BO.isnan(), expected_BO)


def test_an_unbounded_box_has_an_infinite_upper_bound():
    lower_BI, upper_BI, w_OI = box_operands((2, 3, 4))
    upper_BI[1, 2] = math.inf
    lower_BO, upper_BO = linf_dist_bounds(lower_BI, upper_BI, w_OI)
    assert lower_BO.isfinite().all()
    assert (upper_BO[1] == math.inf).all() and upper_BO[0].isfinite().all()
