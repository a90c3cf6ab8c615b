"""Weight decay of distance layers is a step along the gradient of half the squared l_p norm."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from conftest import NAME, TINY
from safetensors.torch import load_file
from torch import nn

from zoo.layers import LpDistConv2d, LpDistLinear
from zoo.recipes import load_recipe
from zoo.training import run_training
from zoo.training.build import build_optimizer
from zoo.training.lp_decay import lp_decay_
from zoo.training.step import Step


@pytest.mark.parametrize("p", [2, 3, 8, 24.5, 1000])
@pytest.mark.parametrize(
    "layer", [LpDistLinear(30, 5), LpDistConv2d(3, 5, 3)], ids=lambda layer: type(layer).__name__
)
def test_decay_follows_the_gradient_of_half_the_squared_norm(layer, p):
    layer = layer.double()
    layer.p = p
    weight = layer.weight.detach().clone().requires_grad_()
    rows = weight.flatten(1)
    largest = rows.detach().abs().amax(1, keepdim=True)  # or powers of 1000 overflow
    norms = (rows / largest).abs().pow(p).sum(1).pow(1 / p) * largest[:, 0]
    (norms.square().sum() / 2).backward()
    assert weight.grad is not None
    lp_decay_(nn.Sequential(layer), 0.25)
    torch.testing.assert_close(layer.weight.detach(), (weight - 0.25 * weight.grad).detach())


def test_at_infinity_the_largest_weight_of_a_neuron_shrinks_and_no_other():
    layer = LpDistLinear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -4.0, 3.0], [2.0, 0.5, -1.0]]))
    layer.p = math.inf
    lp_decay_(layer, 0.5)
    assert layer.weight.tolist() == [[1.0, -2.0, 3.0], [1.0, 0.5, -1.0]]


def test_a_neuron_of_zeros_stays_finite():
    layer = LpDistLinear(3, 1)
    nn.init.zeros_(layer.weight)
    for p in 8.0, math.inf:
        layer.p = p
        lp_decay_(layer, 0.5)
        assert layer.weight.tolist() == [[0.0, 0.0, 0.0]]


def test_ordinary_decay_passes_distance_weights_by():
    recipe = load_recipe(NAME, {"optimizer.weight_decay": 0.1})
    body, head = LpDistLinear(4, 3, bias=True), nn.Linear(3, 2)
    optimizer = build_optimizer(Step(nn.Sequential(body, head), recipe), recipe)
    decayed = {
        id(weight): group["weight_decay"]
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    assert decayed[id(body.weight)] == 0
    assert decayed[id(body.bias)] == decayed[id(head.weight)] == 0.1
    assert len(decayed) == 5  # the objective's scale too


def test_training_decays(tmp_path: Path):
    weights = []
    for name, decay in ("without", 0.0), ("with", 0.5):
        overrides = TINY | {"optimizer.lp_decay": decay}
        run = run_training(NAME, out=tmp_path / name, overrides=overrides, quiet=True)
        weights.append(load_file(run.path / "model.safetensors")["layers.dist2.weight"])
    without, decayed = (weight.abs().amax(1).mean() for weight in weights)
    assert decayed < without
