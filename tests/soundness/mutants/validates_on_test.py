"""Validation images are the test images: the best epoch is the one that is best on them."""

from __future__ import annotations

import pytest

import zoo.training.loop as loop

PITFALL = 16
HUNTS = ("splits",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = loop.load_data
    meant = {"validation": "test"}
    patch.setattr(loop, "load_data", lambda name, split: original(name, meant.get(split, split)))
