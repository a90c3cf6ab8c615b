"""The shares of an average are rounded to nearest: six of them are more than 1."""

from __future__ import annotations

import numpy as np
import pytest

from soundness.planting import everywhere
from zoo.layers.average import equal_share

PITFALL = 5
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    everywhere(patch, equal_share, lambda count: float(np.float32(1 / count)))
