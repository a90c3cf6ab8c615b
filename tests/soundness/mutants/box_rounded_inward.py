"""The ends of the box are rounded towards its centre: not all of the real box is certified."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soundness.planting import everywhere
from zoo.boxes import box
from zoo.rounding import cast_down, cast_up

PITFALL = None
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(x_BCHW, eps, clip=True):
        found, x = box(x_BCHW, eps, clip), x_BCHW.double()
        radius = float(found.eps)
        lower, upper = cast_up(x - radius, x_BCHW.dtype), cast_down(x + radius, x_BCHW.dtype)
        if clip:
            lower, upper = lower.clamp(0, 1), upper.clamp(0, 1)
        return replace(found, lower_BCHW=lower, upper_BCHW=upper)

    everywhere(patch, box, planted)
