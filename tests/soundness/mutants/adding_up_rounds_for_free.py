"""An average takes its products and sums for exact."""

from __future__ import annotations

import pytest

import zoo.layers.average as average

PITFALL = 8
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(average, "_own", lambda unit: lambda value, error: (value, error))
