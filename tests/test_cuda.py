"""The CUDA kernels on a GPU: the CPU's bits at p = inf, the references' error at finite p.

Skipped without one, and but for ZOO_OPS=native, which `make cuda` sets.

Shapes: B batch, O out features, I in features, K order statistics.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import zoo
from zoo.ops import (
    linf_dist,
    linf_dist_argmax,
    linf_dist_bounds,
    lp_dist,
    native,
    order_dist,
    sort_dist,
)

if not torch.cuda.is_available():
    pytest.skip("no CUDA GPU", allow_module_level=True)
if not native.load("cuda"):
    pytest.skip(native.describe("cuda"), allow_module_level=True)

# A net's layers, ragged ends, one pair, no pair.
SHAPES = [(512, 1024, 784), (129, 257, 1031), (512, 10, 5120), (1, 1, 1), (0, 5, 7), (5, 0, 7)]
TYPES = [torch.float32, torch.float64]
shapes = pytest.mark.parametrize("shape", SHAPES)
types = pytest.mark.parametrize("dtype", TYPES)


def operands(shape: tuple[int, int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    num_b, num_o, num_i = shape
    generator = torch.Generator().manual_seed(sum(shape))
    x_BI = torch.randn(num_b, num_i, generator=generator, dtype=dtype)
    return x_BI, torch.randn(num_o, num_i, generator=generator, dtype=dtype)


def with_gradients(function, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Result and gradients on the CPU, of tensors wherever they are."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    y = function(*leaves)
    generator = torch.Generator().manual_seed(0)
    grad = torch.randn(y.shape, generator=generator, dtype=y.dtype).to(y.device)
    return tuple(each.cpu() for each in (y.detach(), *torch.autograd.grad(y, leaves, grad)))


@shapes
@types
def test_the_cpus_bits_at_infinity_with_gradients(shape, dtype) -> None:
    x_BI, w_OI = operands(shape, dtype)

    def ordered(x: Tensor, w: Tensor) -> Tensor:
        return sort_dist(x, w, 0.3, min(10, shape[2]))

    for function in linf_dist, ordered:
        found = with_gradients(function, x_BI.cuda(), w_OI.cuda())
        again = with_gradients(function, x_BI.cuda(), w_OI.cuda())
        wanted = with_gradients(function, x_BI, w_OI)
        assert torch.equal(found[0], wanted[0]) and torch.equal(found[0], again[0])
    found = with_gradients(linf_dist, x_BI.cuda(), w_OI.cuda())
    assert all(map(torch.equal, found, with_gradients(linf_dist, x_BI, w_OI)))
    on_gpu = linf_dist_argmax(x_BI.cuda(), w_OI.cuda())
    assert all(map(torch.equal, (each.cpu() for each in on_gpu), linf_dist_argmax(x_BI, w_OI)))
    box = x_BI, x_BI + 0.3
    on_gpu = linf_dist_bounds(box[0].cuda(), box[1].cuda(), w_OI.cuda())
    assert all(map(torch.equal, (end.cpu() for end in on_gpu), linf_dist_bounds(*box, w_OI)))


def test_more_order_statistics_than_a_thread_holds_are_the_references() -> None:
    x_BI, w_OI = operands((3, 5, 200), torch.float32)
    for num_k in 64, 65, 200:
        v_K = torch.full((num_k,), 1 / num_k)
        found = order_dist(x_BI.cuda(), w_OI.cuda(), v_K.cuda())
        assert torch.equal(found.cpu(), order_dist(x_BI, w_OI, v_K))


@shapes
@pytest.mark.parametrize("p", [1.0, 2.5, 8, 12, 16, 20.5, 24, 32, 48, 64, 96, 1000])
def test_finite_p_errs_no_more_than_twice_what_the_reference_does(shape, p) -> None:
    x_BI, w_OI = (tensor.cuda() for tensor in operands(shape, torch.float32))

    def reference(x: Tensor, w: Tensor) -> Tensor:
        return torch.ops.zoo.lp_dist_reference(x, w, float(p))

    found = with_gradients(lambda x, w: lp_dist(x, w, p), x_BI, w_OI)
    again = with_gradients(lambda x, w: lp_dist(x, w, p), x_BI, w_OI)
    exact = with_gradients(lambda x, w: lp_dist(x, w, p), x_BI.double(), w_OI.double())
    assert all(map(torch.equal, found, again))
    if not found[0].numel():
        return
    plain = reference(x_BI, w_OI).cpu()
    allowed = 2 * (plain.double() - exact[0]).abs().amax()
    floor = torch.finfo(torch.float32).eps * exact[0]
    assert ((found[0].double() - exact[0]).abs() <= torch.maximum(allowed, floor)).all()
    for ours, right in zip(found[1:], exact[1:], strict=True):
        scale = right.abs().amax().clamp_min(1e-30)
        assert ((ours.double() - right).abs() <= 2e-5 * max(1.0, p / 64) * scale).all()


def test_what_is_not_a_number_is_not_lost() -> None:
    x_BI, w_OI = operands((40, 30, 100), torch.float32)
    x_BI[3, 7] = torch.nan
    x_BI[5, 9] = torch.inf
    for function in linf_dist, lambda x, w: lp_dist(x, w, 8), lambda x, w: lp_dist(x, w, 64):
        found, wanted = function(x_BI.cuda(), w_OI.cuda()).cpu(), function(x_BI, w_OI)
        assert torch.equal(found.isnan(), wanted.isnan())
        assert torch.equal(found.isinf(), wanted.isinf())


def test_operands_on_another_device_are_refused() -> None:
    x_BI, w_OI = operands((3, 5, 33), torch.float32)
    x, w, ops = x_BI.cuda(), w_OI.cuda(), torch.ops.zoo
    y_BO = lp_dist(x, w, 8)
    value_E, index_E = w.flatten(), torch.arange(33, dtype=torch.uint16).repeat(5).cuda()
    start = torch.arange(0, 6 * 33, 33, dtype=torch.int32).cuda()
    for call in (
        lambda: ops.linf_dist(x, w_OI),
        lambda: ops.lp_dist_backward(y_BO, x, w, y_BO.cpu(), 8.0, True, True),
        lambda: ops.linf_dist_sparse_bounds(x, x_BI, value_E, index_E, start),
    ):
        with pytest.raises(RuntimeError, match="one CUDA device"):
            call()


def test_any_stride_and_any_stream() -> None:
    x_BI, w_OI = operands((64, 33, 70), torch.float32)
    wanted = linf_dist(x_BI, w_OI)
    assert torch.equal(linf_dist(x_BI.cuda(), w_OI.T.contiguous().cuda().T).cpu(), wanted)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        found = linf_dist(x_BI.cuda(), w_OI.cuda())
    stream.synchronize()
    assert torch.equal(found.cpu(), wanted)


def test_a_captured_step_repeats_itself() -> None:
    """No kernel makes the host wait, so that whole steps can be captured and replayed."""
    x_BI, w_OI = (tensor.cuda() for tensor in operands((64, 33, 70), torch.float32))
    for p in 8.0, 24.0, 64.0, torch.inf:
        lp_dist(x_BI, w_OI, p)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y_BO = lp_dist(x_BI, w_OI, p)
        graph.replay()
        assert torch.equal(y_BO, lp_dist(x_BI, w_OI, p))


@pytest.mark.parametrize("p", [8.0, torch.inf])
def test_torch_finds_no_fault_in_the_ops(p) -> None:
    x_BI, w_OI = (tensor.cuda().requires_grad_() for tensor in operands((7, 6, 9), torch.float64))
    assert torch.autograd.gradcheck(lambda x, w: lp_dist(x, w, p), (x_BI, w_OI))
    if p == torch.inf:
        torch.library.opcheck(torch.ops.zoo.linf_dist_argmax.default, (x_BI, w_OI))
    else:
        torch.library.opcheck(torch.ops.zoo.lp_dist.default, (x_BI, w_OI, p))


def test_certificates_are_the_cpus() -> None:
    name = "linf_dist_mlp3.digits_eps0.1"
    reports = [
        zoo.evaluate(name, attack=None, quiet=True, device=device) for device in ("cpu", "cuda")
    ]
    rows = [report.rows[0] for report in reports]
    assert rows[0].n_certified == rows[1].n_certified
    assert reports[0].samples == reports[1].samples
