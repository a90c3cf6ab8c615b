"""ReLU nets go the whole way: sizes of their papers, a recipe, training, the weight folder.

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.data import resolve_model_data_config
from torch import nn
from torch.nn import functional as F

import zoo
from zoo.architectures import architectures
from zoo.attacks.pgd import PGD
from zoo.bounds import bounds, create_bound
from zoo.boxes import box
from zoo.cards.card import Card
from zoo.errors import UsageError
from zoo.models import ConvNet, ReLUNet, ReLUResNet, fold, unfold
from zoo.objectives import objectives
from zoo.publishing.from_run import publish
from zoo.recipes import load_recipe
from zoo.registry import registered_names
from zoo.terms import View, terms
from zoo.training import run_training

pytestmark = pytest.mark.usefixtures("one_thread")

# Parameters on (1, 28, 28) and on (3, 32, 32): as papers and code count them, where they do.
PARAMETERS = {
    "fc5": (425_410, 1_340_610),
    "conv1": (314_982, 411_494),
    "dm_small": (329_606, 470_918),
    "dm_medium": (893_418, 1_188_906),
    "cap_small": (166_406, 214_918),
    "cap_large": (1_974_762, 2_466_858),
    "cap_resnet": (3_254_562, 4_214_850),
    "conv_med": (1_637_256, 2_118_856),
    "conv_med_big": (1_653_160, 2_133_736),
    "cnn3": (24_330, 29_930),
    "cnn5": (820_954, 1_067_002),
    "cnn5_stride4": (425_450, 548_618),
    "cnn6": (13_220_362, 17_153_674),
    "cnn7": (13_257_290, 17_190_602),
    "cnn7_bn": (13_259_338, 17_192_650),
}
SIDE = 8
LINEAR = ("interval", "crown_ibp", "cap_ibp")


def tiny(name: str, **more: object) -> ReLUNet:
    """The architecture with few units, on images of one channel."""
    sizes = {"channels": 2} if name != "fc5" else {}
    sizes |= {"width": 8} if name != "cnn3" else {}
    torch.manual_seed(0)
    more = {"num_classes": 3, "in_chans": 1, "img_size": SIDE} | more
    return timm.create_model(name, **sizes, **more)


def test_other_widths_are_nets_of_other_papers() -> None:
    """model_cnn_2layer of CROWN-IBP's code at its smallest, and its 4-layer net of 8 times 4."""
    for name, in_chans, side, sizes, count in (
        ("cap_small", 1, 28, (4, 128), 52_182),
        ("cap_large", 3, 32, (32, 512), 2_466_858),
    ):
        own = dict(zip(("channels", "width"), sizes, strict=True))
        with torch.device("meta"):
            net = timm.create_model(name, in_chans=in_chans, img_size=side, **own)
        assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize("name", PARAMETERS)
def test_sizes_are_those_of_the_papers(name) -> None:
    for (in_chans, side), count in zip(((1, 28), (3, 32)), PARAMETERS[name], strict=True):
        with torch.device("meta"):
            net = timm.create_model(name, in_chans=in_chans, img_size=side)
        assert isinstance(net, ReLUNet)
        assert sum(parameter.numel() for parameter in net.parameters()) == count
        assert set(resolve_model_data_config(net)["std"]) == {1.0}


def test_every_net_of_the_family_is_counted_here() -> None:
    with torch.device("meta"):
        nets = {name: timm.create_model(name) for name in architectures() if name in PARAMETERS}
    assert nets.keys() == PARAMETERS.keys()
    assert {type(net) for net in nets.values()} == {ConvNet, ReLUResNet}


@pytest.mark.parametrize("name", PARAMETERS)
def test_two_steps_of_training_and_the_published_form(name) -> None:
    side = 16 if name.startswith("dm") else SIDE  # they do not pad
    net = tiny(name, mean=0.2, std=0.4, img_size=side)
    objective = objectives["robust_cross_entropy"](
        name="robust_cross_entropy", bound=LINEAR[len(name) % 3]
    )
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    x_BCHW, y_B = torch.rand(4, 1, side, side), torch.arange(4) % 3
    losses = []
    for _ in range(3):
        result = objective(net, x_BCHW, y_B, {"eps": 0.003, "kappa": 0.5}, {})
        losses.append(result.loss.item())
        optimizer.zero_grad()
        result.loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        optimizer.step()
    assert losses[2] < losses[0]
    published = fold(net.eval())
    assert torch.equal(published(x_BCHW), net(x_BCHW)) and published.folded
    back = unfold(published, (0.2,), 0.4)
    assert torch.equal(back.eval()(x_BCHW), net(x_BCHW)) and back.mean == (0.2,)
    with pytest.raises(UsageError, match="keeps the normalisation"):
        unfold(published, (0.3,), 0.4)
    certificate = zoo.certify(published, x_BCHW, published(x_BCHW).argmax(1), "1/1000")
    assert certificate.bound == "interval" and published.lipschitz is None


def test_sizes_that_make_no_net_are_refused() -> None:
    for name, sizes, word in (
        ("cnn3", {"width": 8}, "no width"),
        ("fc5", {"channels": 8}, "no channels"),
        ("dm_medium", {"img_size": 8}, "too small"),
        ("cap_resnet", {"img_size": 6}, "halves images twice"),
        ("cnn7", {"channels": 0}, "must be positive"),
    ):
        with pytest.raises(UsageError, match=word):
            timm.create_model(name, **sizes)


# --------------------------------------------------------------------------------- batch statistics


def with_statistics_of(net: nn.Module, x_BCHW: torch.Tensor) -> nn.Module:
    """A copy in eval mode whose running statistics are those of a batch."""
    frozen = copy.deepcopy(net).train()
    norms = [m for m in frozen.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert norms
    inputs: list[torch.Tensor] = []
    hooks = [norm.register_forward_pre_hook(lambda m, a: inputs.append(a[0])) for norm in norms]
    frozen(x_BCHW)
    for hook in hooks:
        hook.remove()
    for norm, x in zip(norms, inputs, strict=True):
        var, mean = torch.var_mean(x.detach(), [0, *range(2, x.ndim)], correction=0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
    return frozen.eval()


@pytest.mark.parametrize("name", [*LINEAR, "crown"])
def test_bounds_in_train_mode_are_those_of_eval_mode_with_the_batch_s_statistics(name) -> None:
    net, x_BCHW, y_B = tiny("cnn7_bn").train(), torch.rand(5, 1, SIDE, SIDE), torch.arange(5) % 3
    frozen, around = with_statistics_of(net, x_BCHW), box(x_BCHW, 0.002)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    view = View(net, x_BCHW, y_B, 0.002)
    logits_BK, found_BK = view.logits_BK, view.margins_BK(name)
    torch.testing.assert_close(logits_BK, frozen(x_BCHW), rtol=1e-4, atol=1e-5)
    wanted_BK = create_bound(name)(frozen, around, y_B)
    torch.testing.assert_close(found_BK, wanted_BK, rtol=1e-4, atol=1e-4)
    assert (found_BK.abs().amax(1) > 1e-3).all()
    # running statistics move once, by the clean batch and not by its box
    once = copy.deepcopy(net)
    once.load_state_dict(before)
    once(x_BCHW)
    for key, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, once.state_dict()[key], msg=key)
    assert net.layers.norm1.num_batches_tracked == 1


def test_bounds_of_a_net_with_batch_statistics_certify_nothing() -> None:
    net, x_BCHW = tiny("cnn7_bn").eval(), torch.rand(2, 1, SIDE, SIDE)
    net.layers.norm2.train()
    with pytest.raises(UsageError, match="train mode"):
        zoo.certify(net, x_BCHW, torch.tensor([0, 1]), 0.01)
    with pytest.raises(UsageError, match="clean batch"):
        bounds["crown_ibp"]()(net, box(x_BCHW, 0.01), torch.tensor([0, 1]))


# --------------------------------------------------------------------------------------- objective


@pytest.mark.parametrize("name", [*LINEAR, "cap"])
@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0])
def test_robust_cross_entropy_is_the_formula(name, kappa) -> None:
    net, x_BCHW, y_B = tiny("conv1").train(), torch.rand(5, 1, SIDE, SIDE), torch.arange(5) % 3
    objective = objectives["robust_cross_entropy"](name="robust_cross_entropy", bound=name)
    found = objective(net, x_BCHW, y_B, {"eps": 0.01, "kappa": kappa}, {})
    margins_BK = create_bound(name)(net, box(x_BCHW, "1/100"), y_B)
    others_BK = torch.arange(3) != y_B[:, None]
    robust = torch.log1p((torch.exp(-margins_BK) * others_BK).sum(1)).mean()
    clean = F.cross_entropy(net(x_BCHW), y_B)
    torch.testing.assert_close(found.loss, kappa * robust + (1 - kappa) * clean)
    assert torch.equal(found.logits_BK, net(x_BCHW)) and robust > clean


def test_the_loss_is_never_below_that_of_any_image_in_the_box() -> None:
    net, x_BCHW, y_B = tiny("cap_resnet").train(), torch.rand(5, 1, SIDE, SIDE), torch.arange(5) % 3
    objective = objectives["robust_cross_entropy"](name="robust_cross_entropy", bound="crown_ibp")
    loss = objective(net, x_BCHW, y_B, {"eps": 0.02, "kappa": 1.0}, {}).loss
    around = box(x_BCHW, 0.02)
    for _ in range(8):
        share = torch.rand_like(x_BCHW).round()
        point = around.lower_BCHW + share * (around.upper_BCHW - around.lower_BCHW)
        assert F.cross_entropy(net(point), y_B) <= loss + 1e-5


def test_settings_of_no_meaning_are_refused() -> None:
    kind = objectives["robust_cross_entropy"]
    with pytest.raises(ValueError, match="did you mean: crown_ibp"):
        kind(name="robust_cross_entropy", bound="crown_ipb")
    objective, x_BCHW = kind(name="robust_cross_entropy"), torch.rand(2, 1, SIDE, SIDE)
    with pytest.raises(UsageError, match=r"kappa must lie in \[0, 1\]"):
        objective(tiny("conv1"), x_BCHW, torch.tensor([0, 1]), {"eps": 0.1, "kappa": 1.5}, {})
    lipschitz = kind(name="robust_cross_entropy", bound="lipschitz")
    with pytest.raises(UsageError, match="train mode"):
        lipschitz(tiny("conv1"), x_BCHW, torch.tensor([0, 1]), {"eps": 0.1, "kappa": 1.0}, {})


def test_names_of_bounds_are_read_without_importing_them() -> None:
    found = {"zoo.bounds": bounds, "zoo.objectives": objectives, "zoo.terms": terms}
    for package, registry in found.items():
        assert registered_names(package) == list(registry)


# ------------------------------------------------------------------------------------ the whole way

RECIPE = """
name: cnn7_bn.digits_eps0.01
data: digits
eps: 0.01
bound: interval
model: {name: cnn7_bn, channels: 2, width: 16}
objective: {name: robust_cross_entropy, bound: interval}
schedules:
  lr: {name: constant, value: 0.01}
  eps: {name: linear, start: 0, end: 0.011, until: 0.5}
  kappa: {name: linear, start: 0, end: 0.5, until: 0.5}
epochs: 3
batch_size: 64
"""


def test_a_net_is_trained_published_and_certified_again(tmp_path, zoo_, monkeypatch) -> None:
    name, path = "cnn7_bn.digits_eps0.01", tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    run = run_training(load_recipe(str(path)), out=tmp_path / "run", quiet=True).path
    monkeypatch.setattr("zoo.publishing.release.CURVE_POINTS", 3)
    publish(run, out=tmp_path / "shelf", attack=PGD(steps=2), quiet=True)
    card = Card.read(tmp_path / "shelf" / name)
    assert card.bound == "interval" and card.counts.n_certified > card.counts.n / 8
    kinds = [layer["kind"] for layer in card.layers]
    assert kinds[:4] == ["normalize", "conv2d", "batch_norm", "relu"]
    net, trained = zoo.load(tmp_path / "shelf" / name), load_file(run / "model.safetensors")
    assert net.state_dict().keys() == trained.keys()
    assert all(torch.equal(tensor, trained[key]) for key, tensor in net.state_dict().items())
    assert net.layers.normalize.std == torch.tensor(card.std)
    code, out, err = zoo_("certify", tmp_path / "shelf" / name, "--check", "--attack", "none")
    assert code == 0 and name in out, err
    log = [json.loads(row) for row in Path(run / "log.jsonl").read_text().splitlines()]
    assert any("val_cert" in row for row in log)
