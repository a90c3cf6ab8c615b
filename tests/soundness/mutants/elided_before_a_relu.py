"""The last linear layer is elided, and a ReLU behind it passed over."""

from __future__ import annotations

import pytest
from torch import nn

from soundness.planting import everywhere
from zoo.propagation import Reach, interval_margins

PITFALL = None
HUNTS = ("heads",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(reach, y_B):
        steps = reach.steps
        if len(steps) > 1 and type(steps[-1].layer) is nn.ReLU:
            reach = Reach(steps[:-1], reach.box, reach.reading)
        return interval_margins(reach, y_B)

    everywhere(patch, interval_margins, planted)
