"""A std that is no positive number passes: -0.3 turns the ends of every box around."""

from __future__ import annotations

import pytest

from soundness.planting import everywhere
from zoo.layers import Normalize
from zoo.rules import obstacle

PITFALL = 12
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = obstacle

    def planted(layer):
        return None if isinstance(layer, Normalize) else original(layer)

    everywhere(patch, obstacle, planted)
