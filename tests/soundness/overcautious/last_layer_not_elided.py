"""The ends of all logits are taken, as if the largest and the least could meet at one input."""

from __future__ import annotations

import pytest

from zoo.rounding import Affine

HUNTS = ("reference",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Affine, "fully_connected", False)
