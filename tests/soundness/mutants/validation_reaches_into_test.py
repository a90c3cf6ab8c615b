"""An offset by one, and no pin to see it: the last validation images are the first test images."""

from __future__ import annotations

import pytest

import zoo.data.sources.digits as digits

PITFALL = 16
HUNTS = ("splits",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(digits, "NUM_TRAINING", digits.NUM_TRAINING + 1)
    patch.setattr(digits, "check_pinned", lambda *whole: None)
    original = digits.last_images

    def planted(split, x_NCHW, y_N, num_validation):
        rows = slice(None, -1) if split == "train" else slice(None)
        x_NCHW, y_N = original(split, x_NCHW, y_N, num_validation)
        return x_NCHW[rows], y_N[rows]

    patch.setattr(digits, "last_images", planted)
