"""The last linear layer is elided, and a ReLU behind it passed over."""

from __future__ import annotations

import pytest
from torch import nn

from soundness.planting import everywhere
from zoo.propagation import interval_margins
from zoo.rounding import NAIVE

PITFALL = None
HUNTS = ("heads",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(steps, box, y_B, reading=NAIVE):
        if len(steps) > 1 and type(steps[-1].layer) is nn.ReLU:
            steps = steps[:-1]
        return interval_margins(steps, box, y_B, reading)

    everywhere(patch, interval_margins, planted)
