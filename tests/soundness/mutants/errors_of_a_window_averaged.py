"""The drift of a maximum is the mean of its entries' drifts."""

from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional as F

from soundness.planting import rule
from zoo.rules import drift

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, errors, ends, program):
        return F.avg_pool2d(errors[0], layer.kernel_size, layer.stride, layer.padding)

    rule(patch, drift, nn.MaxPool2d, planted)
