"""Error terms are a thousand times what rounding can do."""

from __future__ import annotations

import pytest

import zoo.bounds.lipschitz as lipschitz

HUNTS = ("reference",)


def plant(patch: pytest.MonkeyPatch) -> None:
    line = lipschitz._line

    def planted(logits, y_B, errors, slope):
        return line(logits, y_B, 1000 * errors, slope)

    patch.setattr(lipschitz, "_line", planted)
