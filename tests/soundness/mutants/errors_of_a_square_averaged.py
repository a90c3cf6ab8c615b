"""The largest pixel of a square has the mean of the square's errors."""

from __future__ import annotations

import pytest
from torch.nn import functional as F

from soundness.planting import rule
from zoo.layers import LocalMax
from zoo.rules import forward_error

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, x, unit):
        return x.after(layer(x.value), F.avg_pool2d(x.error.expand_as(x.value), layer.size), 0)

    rule(patch, forward_error, LocalMax, planted)
