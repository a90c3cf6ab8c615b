"""The margins of the exact function are taken for the computed ones: no error terms (A)."""

from __future__ import annotations

import pytest

import zoo.bounds.lipschitz as lipschitz

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    line = lipschitz._line

    def planted(logits, y_B, errors, slope):
        return line(logits, y_B, 0.0 if errors == 1.0 else errors, slope)

    patch.setattr(lipschitz, "_line", planted)
