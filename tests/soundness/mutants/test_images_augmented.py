"""Test images go through training's augmentation: here, mirrored."""

from __future__ import annotations

import pytest

from zoo.data.pixels import Pixels

PITFALL = 6
HUNTS = ("counts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Pixels.batch

    def planted(pixels, idx_B):
        x_BCHW, y_B = original(pixels, idx_B)
        return x_BCHW.flip(3), y_B

    patch.setattr(Pixels, "batch", planted)
