"""The gains of two Normalize in a row are added instead of multiplied."""

from __future__ import annotations

import pytest

from soundness.planting import gains_not_counted
from zoo.layers import Normalize
from zoo.models import LinfDistMLP

PITFALL = 5
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(net) -> float:
        gains = [layer.lipschitz for layer in net.layers if isinstance(layer, Normalize)]
        return float(sum(gains)) if gains else 1.0

    patch.setattr(LinfDistMLP, "lipschitz", property(planted))
    gains_not_counted(patch)  # they would tell
