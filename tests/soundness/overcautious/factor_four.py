"""Margins fall by 4 L eps."""

from __future__ import annotations

import pytest

import zoo.bounds.lipschitz as lipschitz

HUNTS = ("reference", "verdicts")


def plant(patch: pytest.MonkeyPatch) -> None:
    line = lipschitz._line

    def planted(logits, y_B, errors, slope):
        return line(logits, y_B, errors, 2 * slope)

    patch.setattr(lipschitz, "_line", planted)
