"""The bounds of a BatchNorm divide by the root of the variance alone."""

from __future__ import annotations

import pytest
from torch import nn

from zoo.rules import affine

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    for kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        original = affine._table[kind]

        def planted(layer, x=None, original=original):
            eps, layer.eps = layer.eps, 0.0
            try:
                return original(layer, x)
            finally:
                layer.eps = eps

        patch.setitem(affine._table, kind, planted)
