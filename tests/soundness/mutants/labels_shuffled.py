"""Images and labels are in different orders, within a batch."""

from __future__ import annotations

import pytest

from zoo.data.pixels import Pixels

PITFALL = 6
HUNTS = ("counts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Pixels.batch

    def planted(pixels, idx_B):
        x_BCHW, y_B = original(pixels, idx_B)
        return x_BCHW, y_B.roll(1)

    patch.setattr(Pixels, "batch", planted)
