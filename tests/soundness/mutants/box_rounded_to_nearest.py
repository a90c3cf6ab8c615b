"""x - eps and x + eps are rounded to nearest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soundness.planting import everywhere
from zoo.boxes import box

PITFALL = None
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(x_BCHW, eps, clip=True):
        found, x = box(x_BCHW, eps, clip), x_BCHW.double()
        radius = float(found.eps)
        lower, upper = (x - radius).to(x_BCHW.dtype), (x + radius).to(x_BCHW.dtype)
        if clip:
            lower, upper = lower.clamp(0, 1), upper.clamp(0, 1)
        return replace(found, lower_BCHW=lower, upper_BCHW=upper)

    everywhere(patch, box, planted)
