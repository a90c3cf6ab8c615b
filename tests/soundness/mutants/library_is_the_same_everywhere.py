"""The program's tanh is widened once: as if what runs were at the ends what it is between them."""

from __future__ import annotations

import pytest

import zoo.rounding.readings as readings

PITFALL = None
HUNTS = ("heads",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(readings._Deployed, "function", readings._Real.function)
    step = readings._Real.step
    patch.setattr(readings._Deployed, "step", lambda reading, *ends: step(reading, *ends))
