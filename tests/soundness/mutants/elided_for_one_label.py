"""The last layer is elided for the first image's label, whatever the others are."""

from __future__ import annotations

import pytest

from zoo.rounding import Affine

PITFALL = 9
HUNTS = ("heads", "reference")


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Affine.differences
    patch.setattr(Affine, "differences", lambda layer, y_B: original(layer, y_B[:1].expand_as(y_B)))
