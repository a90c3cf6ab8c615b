"""A ReLU between two level lines gets the slope u / 2, which was to be its offset, and no offset.

Seen in a published implementation of hBox.
"""

from __future__ import annotations

import pytest
import torch

from soundness.planting import everywhere
from zoo.relaxations import Lines, lines

PITFALL = None
HUNTS = ("relaxations", "zonotopes")


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(slopes, lower, upper, *, rigorous=False):
        found = lines(slopes, lower, upper, rigorous=rigorous)
        level = (lower < 0) & (upper > 0) & (slopes.lower == 0) & (slopes.upper == 0)
        each = zip(found, (upper / 2, 0.0, upper / 2, 0.0), strict=True)
        return Lines(*(torch.where(level, wrong, right) for right, wrong in each))

    everywhere(patch, lines, planted)
