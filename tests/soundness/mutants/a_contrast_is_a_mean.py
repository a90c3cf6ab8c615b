"""Linear forms take half a difference for half a sum."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soundness.planting import rule
from zoo.layers import HalfDifference
from zoo.rules import affine

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = affine._table[HalfDifference]

    def planted(layer, x=None):
        form = original(layer, x)
        return replace(form, weight=form.weight.abs())

    rule(patch, affine, HalfDifference, planted)
