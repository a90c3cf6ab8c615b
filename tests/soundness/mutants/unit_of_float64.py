"""The unit roundoff of float64 is used for a float32 program."""

from __future__ import annotations

import pytest

import zoo.bounds.lipschitz as lipschitz

PITFALL = 8
HUNTS = ("border_lipschitz",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lipschitz, "unit_roundoff", lambda dtype: 2.0**-53)
