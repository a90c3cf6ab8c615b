"""Forms over values side by side go to the branches one place further on."""

from __future__ import annotations

import pytest

from soundness.planting import rule
from zoo.layers.concat import SideBySide
from zoo.rules import pull

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = pull._table[SideBySide]
    rule(
        patch, pull, SideBySide, lambda layer, rows, *rest: original(layer, rows.roll(1, 2), *rest)
    )
