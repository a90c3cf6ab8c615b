"""Boxes are clipped although the threat model says that they are not."""

from __future__ import annotations

import pytest

from soundness.planting import everywhere
from zoo.boxes import box

PITFALL = None
HUNTS = ("arithmetic", "border_interval")


def plant(patch: pytest.MonkeyPatch) -> None:
    everywhere(patch, box, lambda x_BCHW, eps, clip=True: box(x_BCHW, eps, True))
