"""Linear bounds take the mean off after Normalize divides, not before."""

from __future__ import annotations

import dataclasses

import pytest
from einops import rearrange

from zoo.layers import Normalize
from zoo.rules import affine

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = affine._table[Normalize]

    def planted(layer, x=None):
        return dataclasses.replace(original(layer, x), bias=rearrange(-layer.mean_C, "c -> c 1 1"))

    patch.setitem(affine._table, Normalize, planted)
