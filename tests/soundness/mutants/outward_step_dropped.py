"""The ends of the exact function's interval are rounded to nearest."""

from __future__ import annotations

import pytest

import zoo.rounding.readings as readings

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(readings._Real, "step", lambda reading, lower, upper: (lower, upper))
