"""eps is a float32 number: 0.3 becomes 0.30000001, but 0.1 / 3 may lose as much."""

from __future__ import annotations

import numpy as np
import pytest

from soundness.planting import everywhere
from zoo.eps import round_up

PITFALL = 3
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    everywhere(patch, round_up, lambda value: float(np.float32(float(value))))
