"""The least value of a row over the box is taken at half the radius."""

from __future__ import annotations

import pytest

import zoo.propagation.backward as backward

PITFALL = None
HUNTS = ("border_stepwise",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = backward._minimum

    def planted(rows, box, ledger):
        lower, upper = box
        quarter = (upper - lower) / 4
        return original(rows, (lower + quarter, upper - quarter), ledger)

    patch.setattr(backward, "_minimum", planted)
