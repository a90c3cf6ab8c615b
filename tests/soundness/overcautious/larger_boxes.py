"""Boxes reach 0.01 further than eps."""

from __future__ import annotations

from fractions import Fraction

import pytest

from soundness.planting import everywhere
from zoo.boxes import box

HUNTS = ("reference",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(x_BCHW, eps, clip=True):
        return box(x_BCHW, min(Fraction(eps) + Fraction(1, 100), Fraction(1)), clip)

    everywhere(patch, box, planted)
