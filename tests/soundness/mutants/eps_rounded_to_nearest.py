"""The float that stands for eps is the nearest one, which may be below eps."""

from __future__ import annotations

import pytest

from soundness.planting import everywhere
from zoo.eps import round_up

PITFALL = 3
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    everywhere(patch, round_up, float)
