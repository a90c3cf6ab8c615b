"""Recalibration: running means of the net that is kept, and no trace of it in training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import NAME, TINY
from safetensors.torch import load_file

from zoo.data.load import load_data
from zoo.layers import MeanShift
from zoo.recipes import load_recipe
from zoo.training import run_training
from zoo.training.batches import Batches
from zoo.training.build import build_model
from zoo.training.log import read_log
from zoo.training.recalibrate import recalibrated

pytestmark = pytest.mark.usefixtures("one_thread")
SORTED = {"model.name": "sortnet_mlp3", "model.rho": 0.3, "name": "sortnet_mlp3.digits_eps0.1"}
NETS = pytest.mark.parametrize("net", [{}, SORTED], ids=["distances", "order statistics"])


def parts(net: dict):
    recipe = load_recipe(NAME, TINY | net)
    data = load_data("digits", "train")
    torch.manual_seed(0)
    return build_model(recipe.model, data), Batches(recipe, data)


def means(model) -> list[torch.Tensor]:
    return [layer.running_mean_O for layer in model.modules() if isinstance(layer, MeanShift)]


@NETS
def test_means_are_those_of_the_batches_at_p_inf_on_all_inputs(net):
    model, batches = parts(net)
    found = recalibrated(model, batches, 1, 3)
    # The same by hand: each layer's inputs are centred by their own batch.
    model.p = float("inf")
    sums = [0.0 for _ in means(model)]
    with torch.no_grad():
        for step in range(batches.steps_per_epoch, batches.steps_per_epoch + 3):
            x, at = batches(step)[0], 0
            for layer in model.eval().layers:
                if isinstance(layer, MeanShift):
                    sums[at] = sums[at] + x.mean(0) / 3
                    x, at = x - x.mean(0), at + 1
                else:
                    x = layer(x)
    assert len(sums) == 2
    for mean, expected in zip(means(found), sums, strict=True):
        torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-6)


@NETS
def test_the_net_that_goes_on_training_and_random_numbers_are_left_alone(net):
    model, batches = parts(net)
    model.p = 12.5
    model.train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    found = recalibrated(model, batches, 0, 10**6)  # no more than an epoch has
    assert torch.equal(torch.get_rng_state(), drawn)
    assert model.p == found.p == 12.5
    assert all(layer.training for layer in model.modules())
    assert not any(layer.training for layer in found.modules())
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key])
        assert torch.equal(found.state_dict()[key], tensor) == ("running_mean" not in key)
    momenta = {layer.momentum for layer in found.modules() if isinstance(layer, MeanShift)}
    assert momenta == {0.1}


@NETS
def test_a_run_trains_to_the_same_losses_with_it_and_keeps_other_means(net, tmp_path: Path):
    plain, other = (
        run_training(
            NAME,
            out=tmp_path / str(count),
            overrides=TINY | net | {"recalibrate": count, "ema": 0.5},
            quiet=True,
        )
        for count in (0, 4)
    )
    rows = [read_log(run.path / "log.jsonl") for run in (plain, other)]
    assert [row["loss"] for row in rows[0]] == [row["loss"] for row in rows[1]]
    kept = [load_file(run.path / "model.safetensors") for run in (plain, other)]
    for key, tensor in kept[0].items():
        assert torch.equal(kept[1][key], tensor) == ("running_mean" not in key)
