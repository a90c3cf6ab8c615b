"""A mean is taken for no larger on its way than at its end: its sum may overflow."""

from __future__ import annotations

import pytest

from zoo.rounding import Affine

PITFALL = None
HUNTS = ("passing",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Affine, "reached", lambda self, largest, magnitude: magnitude)
