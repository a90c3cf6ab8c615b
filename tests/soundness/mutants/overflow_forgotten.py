"""A float32 sum that overflows on the way is enclosed in float64, where it does not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import zoo.rounding.readings as readings

PITFALL = 8
HUNTS = ("extremes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(readings, "math", SimpleNamespace(nan=0.0))
