"""Max-pooling pads with zeros, as convolutions do, where nothing stands."""

from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional as F

from soundness.planting import rule
from zoo.rules import interval

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, lower, upper, reading=None):
        pad = [layer.padding] * 4
        return tuple(
            F.max_pool2d(F.pad(end, pad), layer.kernel_size, layer.stride) for end in (lower, upper)
        )

    rule(patch, interval, nn.MaxPool2d, planted)
