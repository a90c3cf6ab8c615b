"""1 / std is computed in float32 and rounded down: the constant is a little too small."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.layers import Normalize

PITFALL = 5
HUNTS = ("arithmetic", "border_lipschitz")


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer) -> float:
        return float(np.nextafter(np.float32(1 / layer.std.item()), np.float32(0)))

    patch.setattr(Normalize, "lipschitz", property(planted))
