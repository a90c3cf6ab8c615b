"""The error bound of a distance net speaks of numbers where its program has infinities."""

from __future__ import annotations

import pytest

import zoo.bounds.lipschitz as lipschitz

PITFALL = 8
HUNTS = ("extremes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lipschitz, "_check_range", lambda model, constant, dtype: None)
