"""Boxes are not clipped, although the threat model says that they are."""

from __future__ import annotations

import pytest

from soundness.planting import everywhere
from zoo.boxes import box

HUNTS = ("reference",)


def plant(patch: pytest.MonkeyPatch) -> None:
    everywhere(patch, box, lambda x_BCHW, eps, clip=True: box(x_BCHW, eps, False))
