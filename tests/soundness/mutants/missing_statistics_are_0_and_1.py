"""A BatchNorm without running statistics is bounded as if they were 0 and 1."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from soundness.planting import rule
from zoo.rules import affine

PITFALL = 1
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = affine._table[nn.BatchNorm2d]

    def planted(layer, x=None):
        if layer.running_mean is not None:
            return original(layer, x)
        standard = nn.BatchNorm2d(layer.num_features, layer.eps).eval()
        standard.load_state_dict(layer.state_dict(), strict=False)
        return original(standard.to(torch.get_default_dtype()), x)

    rule(patch, affine, nn.BatchNorm2d, planted)
