"""Initial weights that keep intervals narrow."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import nn

import zoo.models  # noqa: F401
from zoo.data.load import load_data
from zoo.propagation import Reach, steps_of

pytestmark = pytest.mark.usefixtures("one_thread")


def test_narrow_weights_have_the_deviation_of_their_layer() -> None:
    torch.manual_seed(0)
    net, usual = (
        timm.create_model("cap_resnet", in_chans=3, img_size=16, width=200, init=init)
        for init in ("narrow", "default")
    )
    halved = {f"layers.block{i}.{name}" for i in range(1, 5) for name in ("body.conv2", "skip")}
    count = 0
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and name != "layers.linear2":
            fan_in = layer.weight[0].numel()
            wanted = math.sqrt(2 * math.pi) / fan_in / (2 if name in halved else 1)
            spread = 4 / math.sqrt(2 * layer.weight.numel())
            assert layer.weight.std().item() == pytest.approx(wanted, rel=spread), name
            count += name in halved
    assert count == len(halved)
    sizes = [sum(p.numel() for p in each.parameters()) for each in (net, usual)]
    assert sizes[0] == sizes[1] and net.arguments == usual.arguments and "init" not in net.config
    last = net.layers.linear2.weight
    assert last.std() > 10 * math.sqrt(2 * math.pi) / last.shape[1] / math.sqrt(last.shape[1])


def test_intervals_keep_their_width_in_a_net_of_narrow_weights() -> None:
    x_BCHW = load_data("digits", "train").batch(torch.arange(8))[0]
    grown = []
    for init in ("narrow", "default"):
        torch.manual_seed(0)
        net = timm.create_model("cnn7", in_chans=1, img_size=8, channels=16, width=64, init=init)
        ends = Reach(steps_of(net)[0], (x_BCHW - 0.01, x_BCHW + 0.01)).ends
        radii = [(high - low).mean().item() for low, high in ends]
        grown.append(radii[-2] / radii[1])
    assert 0.2 < grown[0] < 5 < 50 < grown[1]
