"""The float32 program is taken for exact: no error terms (B)."""

from __future__ import annotations

import pytest

import zoo.bounds.lipschitz as lipschitz

PITFALL = None
HUNTS = ("border_lipschitz",)


def plant(patch: pytest.MonkeyPatch) -> None:
    line = lipschitz._line

    def planted(logits, y_B, errors, slope):
        return line(logits, y_B, errors if errors == 1.0 else 0.0, slope)

    patch.setattr(lipschitz, "_line", planted)
