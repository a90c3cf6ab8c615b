"""Boxes are clipped to [0.1, 0.9]: the bounds of other, normalised pixels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soundness.planting import everywhere
from zoo.boxes import box

PITFALL = 3
HUNTS = ("arithmetic", "reference")


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(x_BCHW, eps, clip=True):
        found = box(x_BCHW, eps, clip)
        if not clip:
            return found
        lower, upper = found.lower_BCHW.clamp(0.1, 0.9), found.upper_BCHW.clamp(0.1, 0.9)
        return replace(found, lower_BCHW=lower, upper_BCHW=upper)

    everywhere(patch, box, planted)
