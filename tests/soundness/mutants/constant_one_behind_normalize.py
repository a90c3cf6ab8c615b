"""The constant of a net that divides by std is taken for 1: eps is raw, margins are normalised."""

from __future__ import annotations

import pytest

import zoo.bounds.lipschitz as lipschitz
from soundness.planting import gains_not_counted

PITFALL = 3
HUNTS = ("border_lipschitz", "reference")


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lipschitz, "lipschitz_constant", lambda model: 1.0)
    gains_not_counted(patch)  # they would tell
