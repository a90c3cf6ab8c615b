"""CUDA kernels on a host: each block's threads in turn (tests/emulator), against the references.

It shows that indices, tiles, parts and barriers are right, and that results do not depend on the
order in which threads are resumed. It shows nothing of speed, or of a GPU's own roots and powers.

Shapes: B batch, O out features, I in features, K order statistics, E edges.
"""

from __future__ import annotations

import ctypes
import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo.ops import order_weights
from zoo.ops.build import find_compiler

HERE = Path(__file__).parent / "emulator"
# Less than a tile; several tiles, slices and parts, with ragged ends and without; rows of whole
# quads, which are read at once, and others.
SHAPES = [(1, 1, 1), (3, 5, 33), (37, 130, 70), (140, 66, 64)]
TYPES = [torch.float32, torch.float64]
FINITE = [1.0, 2.5, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 1000.0]

reference = torch.ops.zoo


class Arguments(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_void_p * 5),
        ("outputs", ctypes.c_void_p * 2),
        ("p", ctypes.c_double),
        ("num_k", ctypes.c_int64),
        ("num_edges", ctypes.c_int64),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> ctypes.CDLL:
    if not shutil.which("c++") and not shutil.which("g++"):
        pytest.skip("no C++ compiler")
    path = tmp_path_factory.mktemp("emulated") / "kernels.so"
    flags = "-std=c++17 -O1 -shared -fPIC -ffp-contract=off -U_FORTIFY_SOURCE -w".split()
    command = [*find_compiler(), *flags, f"-I{HERE}", str(HERE / "kernels.cpp"), "-o", str(path)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(path))


@pytest.fixture(params=["forwards", "backwards"])
def emulate(library, request):
    """Run an op's kernels: emulate(op, shape, inputs, outputs, ...) writes the outputs."""

    def run(op, shape, inputs, outputs, *, p=0.0, num_k=0, num_edges=0, processors=8) -> None:
        arguments = Arguments(p=p, num_k=num_k, num_edges=num_edges)
        for k, tensor in enumerate(inputs):
            assert tensor.is_contiguous()
            arguments.inputs[k] = tensor.data_ptr()
        for k, tensor in enumerate(outputs):
            arguments.outputs[k] = tensor.data_ptr()
        wide = int(inputs[0].dtype == torch.float64)
        sizes = [ctypes.c_int64(size) for size in shape]
        backwards = int(request.param == "backwards")
        rest = ctypes.c_int(processors), ctypes.c_int(backwards), ctypes.byref(arguments)
        assert library.emulate(op.encode(), wide, *sizes, *rest) == 0

    return run


def operands(shape, dtype) -> tuple[Tensor, Tensor]:
    num_b, num_o, num_i = shape
    generator = torch.Generator().manual_seed(sum(shape))
    x_BI = torch.randn(num_b, num_i, generator=generator, dtype=dtype)
    w_OI = torch.randn(num_o, num_i, generator=generator, dtype=dtype)
    # Ties, whose first index must win.
    w_OI[:, -1] = w_OI[:, 0]
    x_BI[:, -1] = x_BI[:, 0]
    return x_BI, w_OI


def same(found: Tensor, wanted: Tensor) -> bool:
    return torch.equal(found.nan_to_num(nan=-7), wanted.nan_to_num(nan=-7))


@pytest.mark.parametrize(("shape", "dtype"), [*itertools.product(SHAPES, TYPES)])
def test_distances_at_infinity_have_the_references_bits(emulate, shape, dtype) -> None:
    num_b, num_o, _ = shape
    x_BI, w_OI = operands(shape, dtype)
    for processors in 1, 50:  # all features in one part, or as many parts as there can be
        y_BO, at_BO = torch.empty(num_b, num_o, dtype=dtype), torch.empty(num_b, num_o).int()
        emulate("linf", shape, (x_BI, w_OI), (y_BO,), processors=processors)
        assert torch.equal(y_BO, reference.linf_dist_reference(x_BI, w_OI))
        emulate("linf_argmax", shape, (x_BI, w_OI), (y_BO, at_BO), processors=processors)
        wanted = reference.linf_dist_argmax_reference(x_BI, w_OI)
        assert torch.equal(y_BO, wanted[0]) and torch.equal(at_BO, wanted[1])
        grad_BO = torch.randn(num_b, num_o, dtype=dtype)
        grads = torch.empty_like(x_BI), torch.empty_like(w_OI)
        emulate("linf_backward", shape, (grad_BO, x_BI, w_OI, at_BO), grads)
        wanted = reference.linf_dist_backward_reference(grad_BO, x_BI, w_OI, at_BO)
        assert all(map(torch.equal, grads, wanted))
        upper_BI = x_BI + torch.rand_like(x_BI)
        ends = torch.empty_like(y_BO), torch.empty_like(y_BO)
        emulate("linf_bounds", shape, (x_BI, upper_BI, w_OI), ends, processors=processors)
        assert all(
            map(torch.equal, ends, reference.linf_dist_bounds_reference(x_BI, upper_BI, w_OI))
        )


def test_what_is_not_a_number_is_not_lost(emulate) -> None:
    shape = 20, 9, 50
    x_BI, w_OI = operands(shape, torch.float32)
    x_BI[3, 7] = w_OI[2, 40] = torch.nan
    x_BI[4, 11] = torch.inf
    w_OI[5, 11] = torch.inf  # less itself is not a number
    y_BO, at_BO = torch.empty(20, 9), torch.empty(20, 9).int()
    for processors in 1, 50:
        emulate("linf_argmax", shape, (x_BI, w_OI), (y_BO, at_BO), processors=processors)
        wanted = reference.linf_dist_argmax_reference(x_BI, w_OI)
        assert same(y_BO, wanted[0]) and torch.equal(at_BO, wanted[1])
        ends = torch.empty(20, 9), torch.empty(20, 9)
        emulate("linf_bounds", shape, (x_BI, x_BI, w_OI), ends, processors=processors)
        wanted = reference.linf_dist_bounds_reference(x_BI, x_BI, w_OI)
        assert same(ends[0], wanted[0]) and same(ends[1], wanted[1])
    for p in 8.0, 20.0, 64.0:
        emulate("lp", shape, (x_BI, w_OI), (y_BO,), p=p)
        assert same(
            y_BO.isnan().float(), reference.lp_dist_reference(x_BI, w_OI, p).isnan().float()
        )
    v_K = torch.tensor(order_weights(0.3, 5), dtype=torch.float32)
    emulate("sorted", shape, (x_BI, w_OI, v_K), (y_BO,), num_k=5)
    assert torch.equal(y_BO.isnan(), reference.sort_dist_reference(x_BI, w_OI, v_K).isnan())


def exact(x_BI: Tensor, w_OI: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Distances, and slopes (B, O, I), in double."""
    difference = x_BI.double()[:, None] - w_OI.double()
    most = difference.abs().amax(2)
    safe = torch.where(most > 0, most, 1)
    y_BO = most * ((difference.abs() / safe[..., None]) ** p).sum(2) ** (1 / p)
    ratio = difference / torch.where(y_BO > 0, y_BO, 1)[..., None]
    return y_BO, ratio.sign() * ratio.abs() ** (p - 1)


@pytest.mark.parametrize(("shape", "p"), [*itertools.product(SHAPES, FINITE)])
def test_finite_p_errs_no_more_than_twice_what_the_reference_does(emulate, shape, p) -> None:
    """Entry by entry for values; for gradients in the size of what is added up."""
    x_BI, w_OI = operands(shape, torch.float32)
    y_BO = torch.empty(shape[0], shape[1])
    emulate("lp", shape, (x_BI, w_OI), (y_BO,), p=p)
    exact_BO, slope_BOI = exact(x_BI, w_OI, p)
    unit = torch.finfo(torch.float32).eps / 2
    plain_BO = reference.lp_dist_reference(x_BI, w_OI, p)
    floor = 2 * unit * exact_BO
    allowed = torch.maximum(2 * (plain_BO.double() - exact_BO).abs(), floor).amax()
    assert ((y_BO.double() - exact_BO).abs() <= allowed).all()

    grad_BO = torch.randn_like(y_BO)
    grads = torch.empty_like(x_BI), torch.empty_like(w_OI)
    # One processor, so that a block has several tiles of outputs.
    emulate("lp_backward", shape, (grad_BO, x_BI, w_OI, plain_BO), grads, p=p, processors=1)
    plain = reference.lp_dist_backward_reference(grad_BO, x_BI, w_OI, plain_BO, p, True, True)
    for found, ours, sums in zip(grads, plain, ("bo,boi->bi", "bo,boi->oi"), strict=True):
        sign = 1 if sums.endswith("bi") else -1
        wanted = sign * torch.einsum(sums, grad_BO.double(), slope_BOI)
        size = torch.einsum(sums, grad_BO.double().abs(), slope_BOI.abs())
        allowed = torch.maximum(2 * (ours.double() - wanted).abs().amax(), 8 * unit * size)
        # What may be left out of each sum.
        assert ((found.double() - wanted).abs() <= allowed + 1e-12 * max(shape)).all()


@pytest.mark.parametrize("p", [3.0, 8.0, 24.0, 64.0])
def test_doubles_at_finite_p(emulate, p) -> None:
    shape = 37, 20, 70
    x_BI, w_OI = operands(shape, torch.float64)
    y_BO, grad_BO = torch.empty(37, 20).double(), torch.randn(37, 20).double()
    emulate("lp", shape, (x_BI, w_OI), (y_BO,), p=p)
    exact_BO, slope_BOI = exact(x_BI, w_OI, p)
    assert torch.allclose(y_BO, exact_BO, rtol=1e-15, atol=0)
    grads = torch.empty_like(x_BI), torch.empty_like(w_OI)
    emulate("lp_backward", shape, (grad_BO, x_BI, w_OI, y_BO), grads, p=p)
    assert torch.allclose(grads[0], torch.einsum("bo,boi->bi", grad_BO, slope_BOI), atol=1e-10)
    assert torch.allclose(grads[1], -torch.einsum("bo,boi->oi", grad_BO, slope_BOI), atol=1e-10)


@pytest.mark.parametrize("p", [8.0, 16.0, 24.0, 64.0])
def test_pairs_far_closer_than_others_keep_their_digits(emulate, p) -> None:
    """A scale that suits the largest pair would lose them."""
    shape = 5, 4, 40
    x_BI, w_OI = operands(shape, torch.float32)
    x_BI[0] = w_OI[0] + 1e-6 * torch.rand(40)
    x_BI[1] = w_OI[1]
    x_BI[2] *= 1e6
    y_BO = torch.empty(5, 4)
    emulate("lp", shape, (x_BI, w_OI), (y_BO,), p=p)
    wanted, _ = exact(x_BI, w_OI, p)
    assert y_BO[1, 1] == 0 and torch.allclose(y_BO.double(), wanted, rtol=3e-7, atol=0)
    grads = torch.empty_like(x_BI), torch.empty_like(w_OI)
    emulate("lp_backward", shape, (torch.ones(5, 4), x_BI, w_OI, y_BO), grads, p=p)
    assert all(bool(grad.isfinite().all()) for grad in grads)


@pytest.mark.parametrize(("shape", "dtype"), [*itertools.product(SHAPES, TYPES)])
def test_order_statistics_have_the_references_bits(emulate, shape, dtype) -> None:
    num_b, num_o, num_i = shape
    x_BI, w_OI = operands(shape, dtype)
    for wanted_k in 1, 4, 10, 40:
        num_k = min(wanted_k, num_i)
        v_K = torch.tensor(order_weights(0.4, num_k), dtype=torch.float32).to(dtype)
        y_BO = torch.empty(num_b, num_o, dtype=dtype)
        emulate("sorted", shape, (x_BI, w_OI, v_K), (y_BO,), num_k=num_k)
        assert torch.equal(y_BO, reference.sort_dist_reference(x_BI, w_OI, v_K))
        at_BOK = torch.empty(num_b, num_o, num_k).int()
        emulate("sorted_at", shape, (x_BI, w_OI), (at_BOK,), num_k=num_k)
        assert torch.equal(at_BOK, reference.sort_dist_at_reference(x_BI, w_OI, num_k))
        ends = torch.empty_like(y_BO), torch.empty_like(y_BO)
        box = x_BI, x_BI + torch.rand_like(x_BI)
        emulate("sorted_bounds", shape, (*box, w_OI, v_K), ends, num_k=num_k)
        wanted = reference.order_dist_bounds_reference(*box, w_OI, v_K)
        assert all(map(torch.equal, ends, wanted))


@pytest.mark.parametrize("dtype", TYPES)
def test_edges_have_the_references_bits(emulate, dtype) -> None:
    shape = num_b, num_o, num_i = 37, 21, 50
    x_BI, _ = operands(shape, dtype)
    counts = np.random.default_rng(0).integers(1, 9, num_o)
    start = torch.from_numpy(np.concatenate([[0], counts.cumsum()])).int()
    num_edges = int(start[-1])
    index_E = torch.randint(0, num_i, (num_edges,)).to(torch.uint16)
    value_E = torch.randn(num_edges, dtype=dtype)
    edges = value_E, index_E, start
    y_BO, edge_BO = torch.empty(num_b, num_o, dtype=dtype), torch.empty(num_b, num_o).int()
    emulate("edges", shape, (x_BI, *edges), (y_BO,), num_edges=num_edges)
    assert torch.equal(y_BO, reference.linf_dist_sparse_reference(x_BI, *edges))
    emulate("edges_argmax", shape, (x_BI, *edges), (y_BO, edge_BO), num_edges=num_edges)
    wanted = reference.linf_dist_sparse_argmax_reference(x_BI, *edges)
    assert torch.equal(y_BO, wanted[0]) and torch.equal(edge_BO, wanted[1])
    ends = torch.empty_like(y_BO), torch.empty_like(y_BO)
    box = x_BI, x_BI + torch.rand_like(x_BI)
    emulate("edges_bounds", shape, (*box, *edges), ends, num_edges=num_edges)
    assert all(map(torch.equal, ends, reference.linf_dist_sparse_bounds_reference(*box, *edges)))
