"""A convolution that pads with zeros is bounded as one that repeats its border."""

from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional as F

from soundness.planting import rule
from zoo.rounding import NAIVE, Affine
from zoo.rules import interval

PITFALL = 6
HUNTS = ("layers", "reference")


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, lower, upper, reading=NAIVE):
        def product(x, weight):
            (pad, _), settings = layer.padding, (layer.stride, 0, layer.dilation, layer.groups)
            framed = F.pad(x, (pad, pad, pad, pad), "replicate")
            return F.conv2d(framed, weight, None, *settings)

        bias = layer.bias[:, None, None]
        affine = Affine(product, layer.weight, bias, layer.weight[0].numel())
        return reading.affine(affine, lower, upper)

    rule(patch, interval, nn.Conv2d, planted)
