"""SortNet: the net, its published form, and the way from a recipe to claims that are met.

Shapes: B batch, C/H/W image, K order statistics.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
from pathlib import Path

import pytest
import timm
import torch
from conftest import NAME
from safetensors.torch import load_file, save_file
from torch import Tensor

import zoo
from zoo.architectures import check_values
from zoo.attacks.pgd import PGD
from zoo.cards.card import Card
from zoo.errors import IntegrityError, Interrupted, UsageError
from zoo.layers import LpDist, LpDistLinear, MeanShift, SortDistLinear
from zoo.models import LinfDistMLP, SortNetMLP, fold, prune, unfold
from zoo.publishing.claims import check_claims
from zoo.publishing.from_run import publish
from zoo.tensors import sha256_of
from zoo.training import run_training
from zoo.training.log import read_log
from zoo.training.run import RunFolder
from zoo.training.trainer import Trainer
from zoo.training.warm_start import warm_start

pytestmark = pytest.mark.usefixtures("one_thread")
MEAN, STD = (0.1, 0.5, 0.8), 0.25
SORTED = "sortnet_mlp3.digits_eps0.1"
SETTINGS = {
    "name": SORTED,
    "model.name": "sortnet_mlp3",
    "model.width": 24,
    "model.rho": 0.3,
    "model.identity": True,
    "epochs": 3,
    "evaluate_every": 1,
    "recalibrate": 8,
    "ema": 0.5,
}


@torch.no_grad()
def random_net(seed: int = 0, depth: int = 4, **config) -> SortNetMLP:
    """A net in eval mode with random weights, biases and running means; three channels."""
    torch.manual_seed(seed)
    config = {"width": 30, "num_classes": 5, "img_size": 3, "mean": MEAN, "std": STD} | config
    net = SortNetMLP(depth, **({"rho": 0.4} | config))
    for layer in net.layers:
        if isinstance(layer, MeanShift):
            layer.running_mean_O.normal_(3, 1)
        elif isinstance(layer, LpDist) and layer.bias is not None:
            layer.bias.normal_()
    return net.eval()


# -------------------------------------------------------------------------------------------- net


@pytest.mark.parametrize(
    ("name", "arguments", "parameters"),
    [
        ("sortnet_mlp6", {}, 120_637_450),
        ("sortnet_mlp5", {"in_chans": 1, "img_size": 28, "identity": True}, 82_708_490),
    ],
)
def test_it_has_as_many_parameters_as_the_paper_s(name, arguments, parameters):
    with torch.device("meta"):
        net = timm.create_model(name, **arguments)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


@pytest.mark.parametrize("depth", range(3, 8))
def test_its_first_layer_is_a_distance_and_all_others_sort(depth):
    net = timm.create_model(f"sortnet_mlp{depth}", width=6, img_size=4, rho=0.2, k=3)
    kinds = [type(layer) for layer in net.layers if isinstance(layer, LpDist)]
    assert kinds == [LpDistLinear] + [SortDistLinear] * (depth - 1)
    orders = [layer for layer in net.layers if isinstance(layer, SortDistLinear)]
    assert all(layer.keep == 0.8 and len(layer.order_K) == 3 for layer in orders)
    assert sum(isinstance(layer, MeanShift) for layer in net.layers) == depth - 1


def test_hidden_layers_start_as_the_identity_if_asked():
    sharp, plain = (random_net(identity=identity) for identity in (True, False))
    found = [(layer.weight == -10).sum(1).tolist() for layer in sharp.layers if hasattr(layer, "p")]
    assert [set(counts) for counts in found] == [{1}, {1}, {1}, {0}]
    assert not any((layer.weight == -10).any() for layer in plain.layers if hasattr(layer, "p"))


@pytest.mark.parametrize("form", [lambda net: net, fold])
def test_logits_move_no_faster_than_the_constant_says(form):
    for seed in range(4):
        net = form(random_net(seed)).double()
        g = torch.Generator().manual_seed(seed)
        x = torch.rand(200, *net.input_shape, generator=g, dtype=torch.float64).requires_grad_()
        (grad,) = torch.autograd.grad(net(x)[:, seed % 5].sum(), x)
        # The steepest direction, and a random one where the gradient is 0.
        sign = torch.where(grad == 0, torch.randn(x.shape, generator=g).sign(), grad.sign())
        with torch.no_grad():
            apart_B = (net(x + 1e-3 * sign) - net(x)).abs().amax(1)
        assert apart_B.max() <= 1e-3 * net.lipschitz * (1 + 1e-9)
        assert apart_B.max() > 0.5e-3 * net.lipschitz


# ----------------------------------------------------------------------------------- published form


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_folded_logits_are_std_times_the_others_and_unfolding_goes_back(depth):
    for seed in range(3):
        net, x = random_net(seed, depth).double(), torch.rand(20, 3, 3, 3, dtype=torch.float64)
        net.layers[-2].bias.data.normal_()
        for layer in net.layers:
            if isinstance(layer, SortDistLinear):
                layer.order_K.mul_(0.75)  # whatever it holds is published
        folded = fold(net)
        with torch.no_grad():
            torch.testing.assert_close(folded(x), STD * net(x), rtol=1e-12, atol=1e-12)
        back = unfold(folded, MEAN, STD)
        assert back.state_dict().keys() == net.state_dict().keys()
        for name, tensor in back.state_dict().items():
            torch.testing.assert_close(tensor, net.state_dict()[name], rtol=1e-6, atol=1e-6)
        assert type(back) is SortNetMLP and back.training


def test_it_has_no_edges_to_prune():
    with pytest.raises(UsageError, match="decided by one edge each, not a SortNetMLP"):
        prune(fold(random_net()), [torch.rand(2, 3, 3, 3)])


@pytest.mark.parametrize(
    "values",
    [
        {"rho": 1},
        {"rho": -0.1},
        {"rho": "0.1"},
        {"rho": math.nan},
        {"keep": 0},
        {"keep": 2},
        {"keep": True},
        {"k": 0},
        {"k": 2.0},
        {"k": 2**31},
        {"identity": 10.0},
    ],
    ids=str,
)
def test_values_that_no_card_can_mean_are_refused(values):
    check_values({"rho": 0, "keep": 1, "k": 10, "identity": True})
    with pytest.raises(UsageError, match=next(iter(values))):
        check_values(values)


# --------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> RunFolder:
    return run_training(
        NAME, out=tmp_path_factory.mktemp("runs") / "whole", overrides=SETTINGS, quiet=True
    )


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory) -> Path:
    """Its weight folder."""
    return publish(finished.path, out=tmp_path_factory.mktemp("weights"), attack=PGD(steps=2))


def test_a_run_that_was_stopped_and_went_on_has_the_same_bits(finished, tmp_path, monkeypatch):
    update = Trainer._update

    def stopped(trainer: Trainer) -> None:
        update(trainer)
        if trainer.state.step == 60:  # seen after one more, in the second of three epochs
            signal.raise_signal(signal.SIGTERM)

    settings = {"out": tmp_path / "stopped", "overrides": SETTINGS, "quiet": True}
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="after step 61"):
        patch.setattr(Trainer, "_update", stopped)
        run_training(NAME, **settings)
    torch.rand(3)  # whatever is drawn in between must not matter
    again = run_training(NAME, resume=True, **settings)
    weights = [run.path / "model.safetensors" for run in (finished, again)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    rows = [read_log(run.path / "log.jsonl") for run in (finished, again)]
    for a, b in zip(*rows, strict=True):
        assert a | {"seconds": 0} == b | {"seconds": 0}


def test_what_is_published_is_what_was_recalibrated_and_runs_on_all_inputs(finished, folder):
    net, kept = zoo.load(folder), load_file(finished.path / "model.safetensors")
    assert isinstance(net, SortNetMLP) and net.card.training.recipe["recalibrate"] == 8
    bias_O = -net.card.std * kept["layers.shift1.running_mean_O"].double()
    torch.testing.assert_close(net.layers.dist1.bias.double(), bias_O, rtol=1e-6, atol=1e-7)
    assert [layer["kind"] for layer in Card.read(folder).layers] == [
        "flatten",
        "linf_dist",
        "sort_dist",
        "sort_dist",
        "negate",
    ]


@pytest.mark.parametrize("bound", ["lipschitz", "interval"])
def test_claims_are_met_again_by_both_bounds(finished, bound, tmp_path) -> None:
    run = Path(shutil.copytree(finished.path, tmp_path / "run"))
    text = (run / "recipe.yaml").read_text()
    assert "bound: lipschitz" in text
    (run / "recipe.yaml").write_text(text.replace("bound: lipschitz", f"bound: {bound}"))
    folder = publish(run, out=tmp_path / "weights", attack=PGD(steps=2))
    card, checked = Card.read(folder), check_claims(folder, attack=PGD(steps=2))
    (row,) = checked.report.rows
    assert row.bound == card.bound == bound and not checked.notes
    assert row.n_certified == card.counts.n_certified > 0
    assert checked.report.logits_sha256 == card.logits_sha256


def rewrite(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Other tensors, and a card that vouches for them."""
    path = folder / "model.safetensors"
    save_file(tensors, path, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["zoo"] |= {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v_K: v_K * 1.3, "more than 1"),
        (lambda v_K: v_K + torch.eye(len(v_K))[0] * 2**-20, "more than 1"),
        (lambda v_K: -v_K, "positive"),
        (lambda v_K: torch.zeros_like(v_K), "positive"),
        (lambda v_K: v_K * math.nan, "not finite"),
        (lambda v_K: v_K[:-1], "order_K"),
        (lambda v_K: v_K.double(), "order_K"),
    ],
)
def test_a_file_with_other_order_weights_than_a_mean_s_is_refused(folder, change, reason, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    tensors = load_file(copy / "model.safetensors")
    tensors["layers.dist2.order_K"] = change(tensors["layers.dist2.order_K"]).contiguous()
    rewrite(copy, tensors)
    with pytest.raises(IntegrityError, match=reason):
        zoo.load(copy)


def test_fine_tuning_takes_weights_over_and_leaves_order_weights_to_the_recipe(folder):
    published = zoo.load(folder)
    sizes = {"width": 24, "in_chans": 1, "img_size": 8, "mean": 0.3, "std": 0.4}
    for model in (SortNetMLP(3, rho=0.5, **sizes), LinfDistMLP(3, **sizes)):
        order = {k: v.clone() for k, v in model.state_dict().items() if "order_K" in k}
        began = warm_start(model, str(folder))
        assert began.fresh == [] and "layers.dist2.weight" in began.copied
        assert all(torch.equal(model.state_dict()[key], value) for key, value in order.items())
    weight = torch.randn(4, 1, 8, 8).abs()
    assert published(weight).shape == (4, 10)
