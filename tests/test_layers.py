"""Layers: distances against loops, identity start, centring on one and two processes, pixels.

Shapes: B batch, I in features, O out features, C/H/W image.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from tests import oracles
from zoo.errors import UsageError
from zoo.layers import LpDistConv2d, LpDistLinear, MeanShift, Negate, Normalize

pytestmark = pytest.mark.usefixtures("one_thread")

# ---------------------------------------------------------------------------------------- distance


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("p", [2, 8, math.inf])
def test_linear_is_the_distance_to_its_weights_plus_its_bias(p, bias):
    layer = LpDistLinear(5, 3, bias=bias)
    layer.p = p
    if bias:
        nn.init.normal_(layer.bias)
    x_BI = torch.randn(4, 5)
    expected_BO = oracles.lp_dist(x_BI.numpy(), layer.weight.detach().numpy(), p)
    if bias:
        expected_BO += layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x_BI).detach().numpy(), expected_BO, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("height", "width"), [(5, 5), (4, 7), (3, 3)])
def test_conv_is_the_distance_of_each_window_bit_for_bit(
    kernel_size, stride, padding, height, width
):
    layer = LpDistConv2d(2, 3, kernel_size, stride=stride, padding=padding)
    layer.pad_value_C.copy_(torch.tensor([0.3, -5.0]))
    x_BCHW = torch.randn(2, 2, height, width)
    expected = oracles.linf_conv(
        x_BCHW.numpy(),
        layer.weight.detach().numpy(),
        stride,
        padding,
        layer.pad_value_C.numpy(),
    )
    assert torch.equal(layer(x_BCHW), torch.from_numpy(expected))


def test_conv_adds_one_bias_a_channel():
    layer = LpDistConv2d(2, 3, 2, bias=True)
    x_BCHW = torch.randn(2, 2, 3, 4)
    before = layer(x_BCHW)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, -2.0, 0.5]))
    assert torch.equal(layer(x_BCHW), before + torch.tensor([1.0, -2.0, 0.5]).reshape(3, 1, 1))


def test_conv_pads_with_zero_until_told_otherwise():
    layer = LpDistConv2d(1, 2, 3, padding=1)
    x_BCHW = torch.randn(1, 1, 4, 4)
    unpadded = LpDistConv2d(1, 2, 3)
    unpadded.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x_BCHW), unpadded(nn.functional.pad(x_BCHW, (1, 1, 1, 1))))


def test_conv_keeps_nan_and_infinite_pixels_to_the_windows_that_hold_them():
    layer = LpDistConv2d(1, 1, 2, padding=1)
    x_BCHW = torch.randn(1, 1, 3, 3)
    x_BCHW[0, 0, 0, 0], x_BCHW[0, 0, 2, 2] = math.nan, math.inf
    y_HW = layer(x_BCHW)[0, 0]
    assert y_HW.isnan().nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert y_HW.isinf().nonzero().tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]


@pytest.mark.parametrize("p", [4, math.inf])
def test_conv_gradients_pass_gradcheck(p):
    torch.manual_seed(0)
    layer = LpDistConv2d(2, 2, 2, stride=2, padding=1, bias=True).double()
    layer.p = p
    x_BCHW = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)

    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, x)

    assert torch.autograd.gradcheck(forward, (x_BCHW, layer.weight, layer.bias))


def test_conv_takes_an_empty_batch():
    assert LpDistConv2d(1, 2, 3, padding=1)(torch.zeros(0, 1, 4, 5)).shape == (0, 2, 4, 5)


# ---------------------------------------------------------------------------------- identity start


@pytest.mark.parametrize(("num_in", "num_out"), [(4, 4), (4, 10), (1, 3), (6, 7)])
def test_a_linear_unit_starts_as_the_identity_up_to_a_constant(num_in, num_out):
    layer, shift = LpDistLinear(num_in, num_out, identity=True), MeanShift(num_out)
    x_BI = torch.rand(8, num_in) * 4 - 2
    x_BI -= x_BI.mean(0)
    replicated_BO = x_BI[:, torch.arange(num_out) % num_in]
    # x + 10 and the mean round at the size of 10
    torch.testing.assert_close(shift(layer(x_BI)), replicated_BO, rtol=0, atol=1e-5)


def test_a_conv_unit_starts_as_the_identity_up_to_a_constant():
    layer = LpDistConv2d(2, 5, 3, padding=1, identity=True)
    x_BCHW = torch.rand(3, 2, 4, 4) * 4 - 2
    replicated = x_BCHW[:, torch.arange(5) % 2]
    torch.testing.assert_close(layer(x_BCHW) - 10, replicated, rtol=0, atol=1e-5)


def test_a_narrowing_unit_does_not_start_as_the_identity():
    torch.manual_seed(0)
    plain = LpDistLinear(5, 4)
    torch.manual_seed(0)
    assert torch.equal(LpDistLinear(5, 4, identity=True).weight, plain.weight)


def test_weights_start_standard_normal_and_biases_zero():
    torch.manual_seed(0)
    layer = LpDistLinear(100, 100, bias=True)
    assert abs(layer.weight.mean()) < 0.05 and abs(layer.weight.std() - 1) < 0.05
    assert (layer.bias == 0).all() and LpDistLinear(2, 2).bias is None


# --------------------------------------------------------------------------------------- MeanShift


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 4, 5)])
def test_training_subtracts_the_batch_mean_and_its_gradient(shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(shape, dtype=torch.float64)
    others = [0, *range(2, len(shape))]
    y, expected = MeanShift(3).double()(x), x - x.mean(others, keepdim=True)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(y.mean(others), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(
        torch.autograd.grad(y, x, grad), torch.autograd.grad(expected, x, grad)
    )


def test_the_running_mean_moves_a_tenth_of_the_way_each_batch():
    shift, expected_O = MeanShift(3), np.zeros(3)
    for step in range(5):
        x_BO = torch.randn(4, 3) + step
        shift(x_BO)
        expected_O = 0.9 * expected_O + 0.1 * x_BO.double().mean(0).numpy()
        np.testing.assert_allclose(shift.running_mean_O, expected_O, rtol=1e-5, atol=1e-6)
    assert not shift.running_mean_O.requires_grad


def test_eval_subtracts_the_running_mean_whatever_the_batch():
    shift = MeanShift(2).eval()
    shift.running_mean_O.copy_(torch.tensor([1.0, -2.0]))
    x_BO = torch.randn(5, 2)
    assert torch.equal(shift(x_BO), x_BO - torch.tensor([1.0, -2.0]))
    assert torch.equal(shift(x_BO[:1]), shift(x_BO)[:1])
    assert shift.running_mean_O.tolist() == [1.0, -2.0]


def mean_shift_of_a_share(rank: int, init: str, out: str, x: Tensor, grad: Tensor, sizes) -> None:
    """One of two processes: its share of the batch through a MeanShift, and back."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    try:
        share = x.split(sizes)[rank].clone().requires_grad_()
        shift = MeanShift(x.shape[1])
        y = shift(share)
        y.backward(grad.split(sizes)[rank])
        torch.save((y.detach(), share.grad, shift.running_mean_O), f"{out}/{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(("sizes", "shape"), [((4, 4), (8, 3)), ((1, 6), (7, 3, 2, 2))])
def test_two_processes_centre_as_one_does_on_the_whole_batch(tmp_path: Path, sizes, shape):
    torch.manual_seed(0)
    x, grad = torch.randn(shape) + 3, torch.randn(shape)
    init = f"file://{tmp_path}/init"
    processes = torch.multiprocessing.spawn(
        mean_shift_of_a_share, (init, str(tmp_path), x, grad, sizes), nprocs=2, join=False
    )
    try:
        assert processes.join(timeout=60) or processes.join(timeout=30)
    finally:
        for process in processes.processes:
            process.kill()
    y, x_grad, running = zip(
        *(torch.load(tmp_path / f"{rank}.pt") for rank in range(2)), strict=True
    )

    whole, shift = x.clone().requires_grad_(), MeanShift(shape[1])
    expected = shift(whole)
    expected.backward(grad)
    torch.testing.assert_close(torch.cat(y), expected.detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.cat(x_grad), whole.grad, rtol=0, atol=1e-6)
    for mean_O in running:
        torch.testing.assert_close(mean_O, shift.running_mean_O, rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------- Normalize, Negate


def test_normalize_subtracts_each_channel_s_mean_and_divides_by_one_std():
    x_BCHW = torch.rand(2, 3, 4, 5)
    mean = [0.1, 0.5, 0.9]
    expected = (x_BCHW.numpy() - np.float32(mean).reshape(3, 1, 1)) / np.float32(0.3)
    assert torch.equal(Normalize(mean, 0.3)(x_BCHW), torch.from_numpy(expected))


@pytest.mark.parametrize("std", [0.1, 0.2009, 0.25, 0.3081, 1 / 3, 1.0, 3.0, 1e-30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_lipschitz_constant_is_one_over_the_stored_std_rounded_up(std, dtype):
    layer = Normalize([0.0], std).to(dtype)
    exact = 1 / Fraction(layer.std.item())
    assert Fraction(math.nextafter(layer.lipschitz, 0)) < exact <= Fraction(layer.lipschitz)


@pytest.mark.parametrize("std", [0, -0.1, math.nan, math.inf, 1e-50, 1e50])
def test_a_std_that_is_no_positive_float32_is_refused(std):
    with pytest.raises(UsageError, match="std"):
        Normalize([0.0], std)


def test_whole_numbers_as_mean_and_std_are_stored_as_floats():
    layer = Normalize([0, 1], 1)
    assert layer.mean_C.dtype == layer.std.dtype == torch.float32
    layer.load_state_dict({"mean_C": torch.tensor([0.5, 0.25]), "std": torch.tensor(0.3)})
    assert layer.std == torch.tensor(0.3)


def test_negate_flips_the_sign_exactly():
    x = torch.tensor([1.5, -0.0, math.inf])
    assert Negate()(x).tolist() == [-1.5, 0.0, -math.inf]
