"""A library's tanh is taken for the exact function, rounded to nearest."""

from __future__ import annotations

import pytest

import zoo.rounding.readings as readings

PITFALL = None
HUNTS = ("heads",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(readings, "library_error", lambda value, units: 0 * value)
