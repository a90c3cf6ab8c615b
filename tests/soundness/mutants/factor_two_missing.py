"""Margins fall by L eps instead of 2 L eps: only one of the two logits moves."""

from __future__ import annotations

import pytest

import zoo.bounds.lipschitz as lipschitz

PITFALL = 5
HUNTS = ("border_lipschitz", "reference")


def plant(patch: pytest.MonkeyPatch) -> None:
    line = lipschitz._line

    def planted(logits, y_B, errors, slope):
        return line(logits, y_B, errors, slope / 2)

    patch.setattr(lipschitz, "_line", planted)
