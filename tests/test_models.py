"""Models: timm's registry and files, the Lipschitz constant in raw pixels, folding and back.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import resolve_model_data_config
from torch import Tensor

from zoo.errors import UsageError
from zoo.layers import LpDist, LpDistLinear, MeanShift
from zoo.models import LinfDistMLP, fold, unfold

MEAN, STD = (0.1, 0.5, 0.8), 0.25
DEPTHS = range(3, 8)


@torch.no_grad()
def random_net(seed: int = 0, depth: int = 4, **config) -> LinfDistMLP:
    """A net in eval mode with random weights, biases and running means; three channels."""
    torch.manual_seed(seed)
    config = {"width": 40, "num_classes": 5, "img_size": 3, "mean": MEAN, "std": STD} | config
    net = LinfDistMLP(depth, **config)
    for layer in net.layers:
        if isinstance(layer, MeanShift):
            layer.running_mean_O.normal_(3, 1)
        elif isinstance(layer, LpDistLinear) and layer.bias is not None:
            layer.bias.normal_()
    return net.eval()


def logits_apart(net: LinfDistMLP, x: Tensor, other: Tensor) -> Tensor:
    """How far two images' logits are apart, as multiples of the images' own l_inf distance."""
    with torch.no_grad():
        apart_B = (net(x) - net(other)).abs().amax(1)
    return apart_B.double() / (x - other).abs().flatten(1).amax(1).double()


def steepest_pairs(net: LinfDistMLP, n: int = 300, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images and neighbours along the sign of a logit's gradient: the worst l_inf direction."""
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, *net.input_shape, generator=g).to(next(net.parameters()).dtype)
    x.requires_grad_()
    logits_BK = net(x)
    picked = torch.arange(n) % net.num_classes
    (grad,) = torch.autograd.grad(logits_BK.gather(1, picked[:, None]).sum(), x)
    # at p = inf one pixel has all the gradient; the others move along at random, if at all
    sign = torch.where(grad == 0, torch.randint(-1, 2, x.shape, generator=g).to(x), grad.sign())
    return x.detach(), x.detach() + 1e-3 * sign


# -------------------------------------------------------------------------------------------- timm


@pytest.mark.parametrize("depth", DEPTHS)
def test_timm_creates_each_depth_at_its_default_size(depth):
    net = timm.create_model(f"linf_dist_mlp{depth}", width=6)
    assert isinstance(net, LinfDistMLP) and net.input_shape == (3, 32, 32)
    assert sum(isinstance(layer, LpDist) for layer in net.layers) == depth
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_timm_passes_sizes_on():
    net = timm.create_model("linf_dist_mlp3", width=6, in_chans=1, img_size=4, num_classes=7)
    assert net.input_shape == (1, 4, 4) and net.num_classes == 7
    assert net(torch.rand(2, 1, 4, 4)).shape == (2, 7)


def test_timm_is_told_to_leave_pixels_alone():
    net = timm.create_model("linf_dist_mlp3", width=6, img_size=32)
    config = resolve_model_data_config(net)
    assert set(config["mean"]) == {0.0} and set(config["std"]) == {1.0}
    assert config["crop_pct"] == 1.0 and config["input_size"] == (3, 32, 32)


@pytest.mark.parametrize("folded", [False, True])
def test_a_local_dir_round_trip_keeps_every_bit(tmp_path: Path, folded):
    net = fold(random_net(depth=3)) if folded else random_net(depth=3)
    arguments = {"width": 40, "img_size": 3}
    arguments |= {"folded": True} if folded else {"mean": MEAN, "std": STD}
    config = {
        "architecture": "linf_dist_mlp3",
        "num_classes": 5,
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [3, 3, 3],
            "num_classes": 5,
            "mean": [0.0],
            "std": [1.0],
            "crop_pct": 1.0,
            "fixed_input_size": True,
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert loaded.state_dict().keys() == net.state_dict().keys()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name])
    x = torch.rand(4, 3, 3, 3)
    assert torch.equal(loaded(x), net(x)) and loaded.lipschitz == net.lipschitz


# ------------------------------------------------------------------------------------------- model


def test_setting_p_changes_every_distance_layer():
    net = random_net()
    assert net.p == math.inf
    net.p = 20
    assert net.p == 20 and [la.p for la in net.layers if isinstance(la, LpDist)] == [20] * 4
    with pytest.raises(UsageError, match="at least 1"):
        net.p = 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"num_classes": 0},
        {"in_chans": 0, "mean": 0.0},
        {"img_size": 0},
        {"depth": 0},
        {"mean": (0.5, 0.5)},
        {"std": 0.0},
    ],
)
def test_sizes_and_statistics_that_make_no_net_are_refused(wrong):
    with pytest.raises(UsageError):
        LinfDistMLP(**({"depth": 3, "width": 4, "img_size": 2, "mean": MEAN} | wrong))


def test_the_smallest_net_runs():
    net = LinfDistMLP(1, width=1, num_classes=1, in_chans=1, img_size=1)
    assert net(torch.rand(2, 1, 1, 1)).shape == (2, 1)


# --------------------------------------------------------------------------------------- Lipschitz

FORMS = {"unfolded": random_net, "folded": lambda **config: fold(random_net(**config))}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@each_form
def test_logits_move_at_most_l_times_as_far_as_raw_pixels(form):
    for seed in range(5):
        net = form(seed=seed).double()
        g = torch.Generator().manual_seed(seed)
        x, other = torch.rand(2, 500, *net.input_shape, generator=g, dtype=torch.float64)
        near = x + (other - x) * 10 ** (-4 * torch.rand(500, 1, 1, 1, generator=g).double())
        for pair in (x, other), (x, near), steepest_pairs(net, seed=seed):
            # rounding of logits of size 10, over the smallest distance of a pair
            assert (logits_apart(net, *pair) <= net.lipschitz + 1e-9).all()


@each_form
def test_no_smaller_lipschitz_constant_holds(form):
    """Control: 5 % less than L is refuted by the pairs above, so L is neither loose nor unused."""
    net = form().double()
    assert logits_apart(net, *steepest_pairs(net)).max() > net.lipschitz / 1.05


@each_form
def test_the_lipschitz_constant_does_not_hold_at_finite_p(form):
    net = form().double()
    net.p = 8
    assert logits_apart(net, *steepest_pairs(net)).max() > 1.05 * net.lipschitz


def test_the_lipschitz_constant_is_one_when_folded_and_one_over_std_before():
    net = random_net(std=0.25)
    assert (net.lipschitz, fold(net).lipschitz) == (4.0, 1.0)


# -------------------------------------------------------------------------------------------- fold


def assert_same_net(a: LinfDistMLP, b: LinfDistMLP) -> None:
    """Equal within the roundings of one way there and back."""
    assert a.state_dict().keys() == b.state_dict().keys()
    for name, tensor in a.state_dict().items():
        # means of 0.8 added to weights of 0.25 and taken away again, over a std of 0.25
        torch.testing.assert_close(tensor, b.state_dict()[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_folded_logits_are_std_times_the_unfolded_ones(depth, dtype, rounding):
    for seed in range(5):
        net = random_net(seed, depth).to(dtype)
        x = torch.rand(20, 3, 3, 3, dtype=dtype)
        with torch.no_grad():
            torch.testing.assert_close(fold(net)(x), STD * net(x), rtol=rounding, atol=rounding)


def test_folding_keeps_argument_and_predictions_and_returns_eval_mode():
    net = random_net().train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    folded = fold(net)
    assert net.training and not folded.training and folded.folded and not net.folded
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    x = torch.rand(50, 3, 3, 3)
    assert torch.equal(folded(x).argmax(1), net.eval()(x).argmax(1))


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_unfolding_a_trained_net_gives_the_net_back(depth):
    net = random_net(depth=depth)
    assert_same_net(unfold(fold(net), MEAN, STD), net)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_folding_an_untrained_net_gives_the_folded_one_back(depth):
    folded = fold(random_net(depth=depth))
    assert_same_net(fold(unfold(folded, MEAN, STD)), folded)


def test_folding_keeps_dtype_and_exponent():
    net = random_net().double()
    net.p = 8
    folded = fold(net)
    assert folded.p == 8 and next(folded.parameters()).dtype == torch.float64
    assert unfold(folded, MEAN, STD).p == 8


def test_folding_twice_and_unfolding_what_is_not_folded_are_refused():
    net = random_net()
    with pytest.raises(UsageError, match="already folded"):
        fold(fold(net))
    with pytest.raises(UsageError, match="not folded"):
        unfold(net, MEAN, STD)
