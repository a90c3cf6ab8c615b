"""Distance ops: exact values at p = inf, accuracy and gradients at finite p, NaN, blocks, torch.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests import oracles
from zoo.errors import UsageError
from zoo.ops import blocks as blocks_module
from zoo.ops import linf_dist, linf_dist_bounds, lp_dist
from zoo.ops.blocks import blocks

quick = settings(max_examples=40, deadline=None, derandomize=True)

FINITE = [1, 2, 3.7, 8, 20.5, 100, 1000]
SHAPES = [(1, 1, 1), (2, 3, 1), (1, 1, 7), (5, 3, 17), (3, 130, 33), (7, 2, 1025)]
sizes = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 12))
seeds = st.integers(0, 2**32 - 1)


def operands(
    shape: tuple[int, int, int], seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    num_b, num_o, num_i = shape
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(num_b, num_i, generator=g, dtype=dtype),
        torch.randn(num_o, num_i, generator=g, dtype=dtype),
    )


def box_operands(
    shape: tuple[int, int, int], seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes of which some contain a weight row and some do not."""
    x_BI, w_OI = operands(shape, seed, dtype)
    g = torch.Generator().manual_seed(seed + 1)
    radius_B1 = 2 * torch.rand(len(x_BI), 1, generator=g, dtype=dtype)
    return x_BI - radius_B1, x_BI + radius_B1 * torch.rand(x_BI.shape, generator=g), w_OI


def few_values(shape: tuple[int, int, int], seed: int) -> tuple[Tensor, Tensor]:
    """Operands from {-2, ..., 2}, float64: ties everywhere, and pairs at distance 0."""
    num_b, num_o, num_i = shape
    g = torch.Generator().manual_seed(seed)
    x_BI = torch.randint(-2, 3, (num_b, num_i), generator=g).double()
    return x_BI, torch.randint(-2, 3, (num_o, num_i), generator=g).double()


def same_bits(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a.view(torch.int32), b.view(torch.int32))


def grads(op: Callable[..., Tensor], grad_BO: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    return torch.autograd.grad(op(*leaves), leaves, grad_BO)


def with_blocks_of(elements: int) -> pytest.MonkeyPatch:
    """Cap on a block's size; undo() restores it (hypothesis forbids the fixture)."""
    patch = pytest.MonkeyPatch()
    patch.setitem(blocks_module._BLOCK_ELEMENTS, "cpu", elements)
    return patch


# ------------------------------------------------------------------------------------ values, inf


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


@pytest.mark.parametrize("elements", [1, 2, 7, 40, 200])
def test_block_size_changes_no_bit_at_p_inf(elements, monkeypatch):
    x_BI, w_OI = operands((9, 11, 5))
    lower_BI, upper_BI, _ = box_operands((9, 11, 5))
    grad_BO = torch.randn(9, 11)

    def everything():
        yield linf_dist(x_BI, w_OI)
        yield linf_dist(x_BI.clone().requires_grad_(), w_OI).detach()
        yield from linf_dist_bounds(lower_BI, upper_BI, w_OI)
        yield from grads(linf_dist, grad_BO, x_BI, w_OI)

    whole = list(everything())
    monkeypatch.setitem(blocks_module._BLOCK_ELEMENTS, "cpu", elements)
    assert len(list(blocks(x_BI, w_OI))) > 1
    assert all(same_bits(a, b) for a, b in zip(everything(), whole, strict=True))


@pytest.mark.parametrize("elements", [1, 7, 40, 200])
@pytest.mark.parametrize("p", [1, 3.7, 100])
def test_block_size_changes_finite_p_by_rounding_only(p, elements, monkeypatch):
    x_BI, w_OI = operands((9, 11, 5))
    lower_BI, upper_BI, _ = box_operands((9, 11, 5))
    grad_BO = torch.randn(9, 11)

    def everything():
        yield lp_dist(x_BI, w_OI, p)
        yield from grads(lambda x, w: lp_dist(x, w, p), grad_BO, x_BI, w_OI)
        # the sums of the bounds' gradients run over the blocks too
        yield from grads(lambda *box: linf_dist_bounds(*box)[0], grad_BO, lower_BI, upper_BI, w_OI)
        yield from grads(lambda *box: linf_dist_bounds(*box)[1], grad_BO, lower_BI, upper_BI, w_OI)

    whole = list(everything())
    monkeypatch.setitem(blocks_module._BLOCK_ELEMENTS, "cpu", elements)
    for a, b in zip(everything(), whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------------------------- values, finite


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


# --------------------------------------------------------------------------------------- gradients


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


def test_linf_dist_bounds_passes_gradcheck():
    box = [t.requires_grad_() for t in box_operands((3, 4, 2), seed=3, dtype=torch.float64)]
    lower_BO, _ = linf_dist_bounds(*box)
    assert (lower_BO == 0).any() and (lower_BO > 0).any()
    assert torch.autograd.gradcheck(linf_dist_bounds, tuple(box))


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


@pytest.mark.parametrize("p", [*FINITE, math.inf])
def test_a_pair_at_distance_zero_has_value_and_gradient_zero(p):
    x_BI = torch.randn(2, 6)
    for x, w in ((x_BI, x_BI[:1]), (torch.zeros(2, 6), torch.zeros(1, 6))):
        assert lp_dist(x, w, p)[0, 0] == 0
        one_pair = torch.tensor([[1.0], [0.0]])
        for grad in grads(lambda x, w: lp_dist(x, w, p), one_pair, x, w):
            assert (grad == 0).all()


def test_a_lower_bound_of_zero_has_no_gradient():
    box = torch.full((1, 3), -1.0), torch.full((1, 3), 1.0), torch.zeros(1, 3)
    for grad in grads(lambda *box: linf_dist_bounds(*box)[0], torch.ones(1, 1), *box):
        assert (grad == 0).all()


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


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("at", [0, 7, 16])
def test_nan_in_an_end_or_w_gives_nan_bounds_there_and_only_there(which, at):
    box = box_operands((4, 5, 17))
    box[which][2, at] = math.nan
    expected_BO = torch.zeros(4, 5, dtype=torch.bool)
    expected_BO[(slice(None), 2) if which == 2 else 2] = True
    for end_BO in linf_dist_bounds(*box):
        assert torch.equal(end_BO.isnan(), expected_BO)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("p", [*FINITE, math.inf])
def test_an_infinite_coordinate_gives_an_infinite_distance(p, sign):
    x_BI, w_OI = operands((2, 3, 4))
    x_BI[1, 2] = sign * math.inf
    y_BO = lp_dist(x_BI, w_OI, p)
    assert (y_BO[1] == math.inf).all() and y_BO[0].isfinite().all()


def test_an_unbounded_box_has_an_infinite_upper_bound():
    lower_BI, upper_BI, w_OI = box_operands((2, 3, 4))
    upper_BI[1, 2] = math.inf
    lower_BO, upper_BO = linf_dist_bounds(lower_BI, upper_BI, w_OI)
    assert lower_BO.isfinite().all()
    assert (upper_BO[1] == math.inf).all() and upper_BO[0].isfinite().all()


# ------------------------------------------------------------------------------------------ bounds


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


# ---------------------------------------------------------------------------------- shapes, errors

OPS = {
    "linf_dist": linf_dist,
    "lp_dist": lambda x, w: lp_dist(x, w, 2),
    "linf_dist_bounds": lambda x, w: linf_dist_bounds(x, x, w)[1],
}
each_op = pytest.mark.parametrize(("name", "op"), OPS.items(), ids=OPS)


@each_op
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (0, 0, 1)])
def test_an_empty_batch_or_layer_gives_an_empty_result_and_zero_gradients(name, op, shape):
    x_BI, w_OI = operands(shape)
    assert op(x_BI, w_OI).shape == shape[:2]
    grad_x_BI, grad_w_OI = grads(op, torch.zeros(shape[:2]), x_BI, w_OI)
    assert grad_x_BI.shape == x_BI.shape and grad_w_OI.shape == w_OI.shape
    assert (grad_x_BI == 0).all() and (grad_w_OI == 0).all()


@each_op
@pytest.mark.parametrize(
    ("x", "w"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4)),
        (torch.zeros(3), torch.zeros(2, 3)),
        (torch.zeros(2, 3), torch.zeros(3)),
        (torch.zeros(2, 3, 1), torch.zeros(2, 3)),
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.float64)),
        (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)),
        (torch.zeros(2, 3), torch.zeros(2, 3, device="meta")),
        (torch.zeros(2, 0), torch.zeros(2, 0)),
    ],
)
def test_operands_that_do_not_fit_are_refused_by_the_op_s_name(name, op, x, w):
    with pytest.raises(UsageError, match=rf"^{name}: "):
        op(x, w)


def test_ends_of_different_shapes_are_refused():
    with pytest.raises(UsageError, match="linf_dist_bounds"):
        linf_dist_bounds(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(1, 3))


def test_ends_of_different_batch_sizes_are_refused():
    with pytest.raises(UsageError, match="linf_dist_bounds"):
        linf_dist_bounds(torch.zeros(2, 3), torch.zeros(1, 3), torch.zeros(1, 3))


@pytest.mark.parametrize("p", [0, 0.5, -1, -math.inf, math.nan])
def test_an_exponent_below_one_is_refused(p):
    with pytest.raises(UsageError, match="p must be at least 1"):
        lp_dist(torch.zeros(1, 2), torch.zeros(1, 2), p)


# ------------------------------------------------------------------------------------------ memory


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 40), st.integers(1, 300))
def test_blocks_tile_the_pairs_once_and_stay_within_their_size(num_b, num_o, num_i, elements):
    patch = with_blocks_of(elements)
    try:
        count_BO = np.zeros((num_b, num_o), int)
        for b, o in blocks(torch.zeros(num_b, num_i), torch.zeros(num_o, num_i)):
            count_BO[b, o] += 1
            # one pair is the least that a block can hold
            assert count_BO[b, o].size * num_i <= max(elements, num_i)
        assert (count_BO == 1).all()
    finally:
        patch.undo()


PEAK = """
import resource, torch
from zoo.ops import blocks, linf_dist, linf_dist_bounds, lp_dist
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def run(num_b, num_o, num_i):
    x, w = torch.randn(num_b, num_i), torch.randn(num_o, num_i)
    linf_dist(x, w)
    x.requires_grad_(), w.requires_grad_()
    linf_dist(x, w).sum().backward()
    lp_dist(x, w, 2.0).sum().backward()
    sum(linf_dist_bounds(x - 1, x + 1, w)).sum().backward()
blocks._BLOCK_ELEMENTS["cpu"] = 2**16
run(8, 8, 8)
before = peak()
run(256, 256, 512)
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_product_of_the_sizes():
    result = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, timeout=120
    )
    # one float32 tensor (B, O, I) is 128 MiB; the blocks' temporaries are 1/4 MiB each
    assert int(result.stdout) < 60 * 2**20


# ------------------------------------------------------------------------------------------- torch


def op_samples() -> dict[str, list[tuple]]:
    """Arguments for every op in the zoo's namespace."""
    samples: dict[str, list[tuple]] = {}
    for shape in (3, 4, 5), (0, 2, 3), (1, 1, 1):
        x_BI, w_OI = operands(shape)
        box = box_operands(shape)
        grad_BO = torch.randn(shape[:2])
        at_BO = torch.zeros(shape[:2], dtype=torch.int32)
        leaves = [t.clone().requires_grad_() for t in (x_BI, w_OI)]
        box_leaves = [t.clone().requires_grad_() for t in box]
        for name, arguments in {
            "linf_dist": (x_BI, w_OI),
            "linf_dist_argmax": (*leaves,),
            "linf_dist_backward": (grad_BO, x_BI, w_OI, at_BO),
            "lp_dist": (*leaves, 3.0),
            "lp_dist_backward": (grad_BO, x_BI, w_OI, lp_dist(x_BI, w_OI, 3.0), 3.0, True, True),
            "linf_dist_bounds": (*box_leaves,),
            "linf_dist_bounds_backward": (grad_BO, grad_BO, *box),
        }.items():
            samples.setdefault(name, []).append(arguments)
    return samples


def registered_ops() -> set[str]:
    names = torch._C._dispatch_get_all_op_names()
    return {name.removeprefix("zoo::") for name in names if name.startswith("zoo::")}


def test_every_registered_op_has_samples():
    assert registered_ops() == set(op_samples())


# torch's own checker reads .grad of tensors that are not leaves
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("name", op_samples())
def test_opcheck_passes(name):
    for arguments in op_samples()[name]:
        torch.library.opcheck(getattr(torch.ops.zoo, name).default, arguments)


@pytest.mark.parametrize("p", [3.7, math.inf])
def test_compiled_lp_dist_equals_eager_with_its_gradients(p):
    def loss(x_BI, w_OI):
        return (lp_dist(x_BI, w_OI, p) ** 2).sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    x_BI, w_OI = operands((4, 3, 6))
    one = torch.ones(())
    assert torch.equal(compiled(x_BI, w_OI), loss(x_BI, w_OI))
    for a, b in zip(grads(compiled, one, x_BI, w_OI), grads(loss, one, x_BI, w_OI), strict=True):
        assert torch.equal(a, b)


def test_compiled_bounds_equal_eager():
    compiled = torch.compile(linf_dist_bounds, fullgraph=True, backend="aot_eager")
    box = box_operands((4, 3, 6))
    for a, b in zip(compiled(*box), linf_dist_bounds(*box), strict=True):
        assert torch.equal(a, b)


@each_op
def test_autocast_leaves_float32_distances_alone(name, op):
    x_BI, w_OI = operands((4, 3, 6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_BO = op(x_BI, w_OI)
    assert same_bits(y_BO, op(x_BI, w_OI))


@each_op
def test_autocast_computes_half_precision_operands_in_float32(name, op):
    x_BI, w_OI = (tensor.bfloat16() for tensor in operands((4, 3, 6)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_BO = op(x_BI, w_OI)
    assert same_bits(y_BO, op(x_BI.float(), w_OI.float()))


@each_op
def test_autocast_takes_the_output_of_a_half_precision_layer(name, op):
    x_BI, w_OI = operands((4, 3, 6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h_BI = nn.Linear(6, 6)(x_BI)
        assert h_BI.dtype == torch.bfloat16
        assert op(h_BI, w_OI).dtype == torch.float32
