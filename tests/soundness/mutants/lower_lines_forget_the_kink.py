"""A lower line touches the ReLU at an end of its interval, and crosses it where the ReLU bends."""

from __future__ import annotations

import pytest
import torch

from soundness.planting import everywhere
from zoo.relaxations import lines

PITFALL = None
HUNTS = ("relaxations",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(slopes, lower, upper, *, rigorous=False):
        found = lines(slopes, lower, upper, rigorous=rigorous)
        ends = [end.clamp_min(0) - slopes.lower * end for end in (lower, upper)]
        return found._replace(lower_offset=torch.minimum(*ends))

    everywhere(patch, lines, planted)
