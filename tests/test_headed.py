"""Distance nets with a head: sizes, both forms, their constants, and what certifies them.

Shapes: B batch, C/H/W image, F features.
"""

from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import Tensor, nn

from zoo.bounds import bounds
from zoo.bounds.lipschitz import lipschitz_constant
from zoo.boxes import box
from zoo.certification import Certifier, certify
from zoo.errors import UsageError
from zoo.layers import LpDist, LpDistConv2d, MeanShift, ScaledLinear
from zoo.margins import margins_of
from zoo.models import HeadedNet, LinfDistConv, LinfDistHybrid, fold, unfold
from zoo.rules import describe

pytestmark = pytest.mark.usefixtures("one_thread")
MEAN, STD, SIDE = (0.1, 0.5, 0.8), 0.25, 6
SIZES = {"width": 20, "head_width": 9, "num_classes": 5, "img_size": SIDE, "mean": MEAN, "std": STD}
KINDS = ["hybrid", "conv"]
each_kind = pytest.mark.parametrize("kind", KINDS)


@torch.no_grad()
def random_net(kind: str, seed: int = 0) -> HeadedNet:
    """A net in eval mode whose features are centred, so that tanh bends."""
    torch.manual_seed(seed)
    extra = {} if kind == "hybrid" else {"channels": 4}
    net = (LinfDistHybrid if kind == "hybrid" else LinfDistConv)(4, **SIZES, **extra)
    for layer in net.modules():
        if isinstance(layer, MeanShift):
            layer.momentum = 1.0
        if isinstance(layer, ScaledLinear):
            layer.bias.normal_()
    net.train()(torch.rand(64, 3, SIDE, SIDE))
    return net.eval()


def images(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------- sizes


def parameters(name: str, **sizes: int) -> int:
    with torch.device("meta"):
        net = timm.create_model(name, **sizes)
    return sum(tensor.numel() for tensor in net.parameters())


def test_parameters_at_the_sizes_of_the_papers():
    hidden = 4 * 5120 * 5120
    cifar = 3 * 32 * 32 * 5120 + hidden + (5120 * 512 + 512) + (512 * 10 + 10)
    tiny = 3 * 64 * 64 * 5120 + hidden + (5120 * 512 + 512) + (512 * 200 + 200)
    assert parameters("linf_dist_hybrid5") == cifar == 123_213_322
    assert parameters("linf_dist_hybrid5", img_size=64, num_classes=200) == tiny == 170_496_712
    kernels = 9 * (3 * 96 + 96 * 96 + 96 * 192 + 2 * 192 * 192)
    conv = kernels + 192 * 16 * 16 * 1024 + (1024 * 512 + 512) + (512 * 10 + 10)
    assert parameters("linf_dist_conv5") == conv == 51_776_554


@pytest.mark.parametrize("depth", range(3, 8))
def test_each_depth_is_in_the_registry(depth):
    net = timm.create_model(f"linf_dist_hybrid{depth}", width=6, head_width=4)
    assert isinstance(net, LinfDistHybrid) and net.input_shape == (3, 32, 32)
    assert sum(isinstance(layer, LpDist) for layer in net.layers) == depth
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_the_third_convolution_halves_the_image_and_doubles_the_channels():
    net = timm.create_model("linf_dist_conv5", channels=4, width=7, head_width=3)
    shapes, x = [], torch.rand(1, 3, 32, 32)
    for layer in net.layers:
        x = layer(x)
        if isinstance(layer, LpDist):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 32, 32), (4, 32, 32), (8, 16, 16), (8, 16, 16), (8, 16, 16), (7,)]


@each_kind
@pytest.mark.parametrize("wrong", [{"width": 0}, {"head_width": 0}, {"head_width": -1}])
def test_sizes_that_make_no_net_are_refused(kind, wrong):
    with pytest.raises(UsageError, match="sizes must be positive"):
        (LinfDistHybrid if kind == "hybrid" else LinfDistConv)(4, **(SIZES | wrong))


def test_a_convolutional_net_needs_channels_and_three_convolutions():
    with pytest.raises(UsageError, match="sizes must be positive"):
        LinfDistConv(3, channels=0, **SIZES)
    with pytest.raises(UsageError, match="depth must be at least 3"):
        LinfDistConv(2, channels=2, **SIZES)


# -------------------------------------------------------------------------------------------- fold


@each_kind
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_folding_scales_features_by_std_and_leaves_logits_alone(kind, dtype, rounding):
    for seed in range(3):
        net, x = random_net(kind, seed).to(dtype), images(20).to(dtype)
        folded = fold(net)
        with torch.no_grad():
            apart = {"rtol": rounding, "atol": rounding}
            torch.testing.assert_close(folded.features(x), STD * net.features(x), **apart)
            torch.testing.assert_close(folded(x), net(x), **apart)
            assert net(x).std(0).min() > 0.01  # logits that tell images apart
        assert not any(isinstance(m, ScaledLinear | MeanShift) for m in folded.modules())


@each_kind
def test_unfolding_gives_the_net_back(kind):
    net = random_net(kind)
    back = unfold(fold(net), MEAN, STD)
    assert back.state_dict().keys() == net.state_dict().keys()
    for name, tensor in back.state_dict().items():
        torch.testing.assert_close(tensor, net.state_dict()[name], rtol=2e-6, atol=2e-6)


def test_the_first_convolution_is_padded_with_the_mean_and_the_others_with_zero():
    net = random_net("conv")
    convs = [layer for layer in fold(net).layers if isinstance(layer, LpDistConv2d)]
    torch.testing.assert_close(convs[0].pad_value_C, torch.tensor(MEAN))
    assert all((conv.pad_value_C == 0).all() for conv in convs[1:])
    for layer in unfold(fold(net), MEAN, STD).layers:
        assert not isinstance(layer, LpDistConv2d) or (layer.pad_value_C == 0).all()


@each_kind
def test_a_fold_that_keeps_the_head_s_weights_is_another_net(kind):
    """Control: the head's first layer must be divided by std."""
    net, x = random_net(kind), images(20)
    folded = fold(net)
    with torch.no_grad():
        folded.head.linear1.weight.mul_(STD)
        assert (folded(x) - net(x)).abs().max() > 0.1


# --------------------------------------------------------------------------------------- constants


@each_kind
def test_features_move_at_most_their_constant_times_as_far_as_pixels(kind):
    net = random_net(kind)
    steepest = []
    for form in (net, fold(net)):
        form, x = form.double(), images(100).double().requires_grad_()
        z_BF = form.features(x)
        (grad,) = torch.autograd.grad(z_BF[:, 3].sum(), x)
        other = (x + 1e-3 * torch.where(grad == 0, 1.0, grad.sign())).detach()
        with torch.no_grad():
            apart_B = (form.features(other) - z_BF).abs().amax(1) / 1e-3
        assert (apart_B <= form.feature_lipschitz * (1 + 1e-9)).all()
        steepest.append((apart_B.max() / form.feature_lipschitz).item())
        assert torch.equal(form(x), form.head(z_BF))
    assert min(steepest) > 0.99
    assert (net.feature_lipschitz, fold(net).feature_lipschitz) == (1 / STD, 1.0)


@each_kind
def test_the_lipschitz_bound_refuses_a_net_with_a_head(kind):
    for net in (random_net(kind), fold(random_net(kind))):
        assert net.lipschitz is None
        with pytest.raises(UsageError, match="states no positive Lipschitz constant"):
            lipschitz_constant(net)
        with pytest.raises(UsageError, match=r"no forward_error rule|Lipschitz constant"):
            certify(net, images(2), torch.tensor([0, 1]), "0.01", bound="lipschitz")
        assert Certifier(net).bound.name == "interval"


# ------------------------------------------------------------------------------------ certificates


@each_kind
def test_both_forms_are_certified_alike_by_intervals(kind):
    net, x = random_net(kind), images(40)
    with torch.no_grad():
        y_B = net(x).argmax(1)
    for eps in ("0", "1/1000", "1/50"):
        one, two = (certify(form, x, y_B, eps) for form in (net, fold(net)))
        torch.testing.assert_close(one.margin_B, two.margin_B, rtol=1e-3, atol=1e-3)
        if eps != "1/50":
            assert one.certified_B.sum() > 30
    assert not two.certified_B.all()


@each_kind
def test_no_sampled_point_is_below_the_margins(kind):
    net, x = fold(random_net(kind)), images(10)
    y_B, within = torch.arange(10) % 5, box(x, "1/50")
    with torch.no_grad():
        bound_BK = bounds["interval"]().deployed(net, within, y_B)
        for _ in range(20):
            share = torch.rand_like(x).round()
            point = torch.where(share > 0, within.lower_BCHW, within.upper_BCHW)
            assert (margins_of(net(point), y_B) >= bound_BK).all()


def test_layers_are_described_for_strangers():
    kinds = [entry["kind"] for entry in describe(fold(random_net("hybrid")))]
    assert kinds == ["flatten", *["linf_dist"] * 4, "linear", "tanh", "linear"]
    first, *others = describe(fold(random_net("conv")))
    assert first == {
        "kind": "linf_dist_conv2d",
        "name": "layers.conv1",
        "stride": 1,
        "padding": 1,
    }
    assert [entry["stride"] for entry in others[:3]] == [1, 2, 1]
    assert others[-3:] == [
        {"kind": "linear", "name": "layers.head.linear1"},
        {"kind": "tanh"},
        {"kind": "linear", "name": "layers.head.linear2"},
    ]


def test_a_convolution_at_finite_p_has_no_kind():
    layer = LpDistConv2d(1, 1, 3)
    layer.p = 8.0
    with pytest.raises(UsageError, match="p = 8"):
        describe(nn.Sequential(layer))
    assert math.isinf(LpDistConv2d(1, 1, 3).p) and describe(LpDistConv2d(1, 1, 3))
