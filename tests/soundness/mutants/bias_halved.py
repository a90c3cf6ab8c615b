"""The bias of an affine layer is halved in its interval."""

from __future__ import annotations

import pytest

from zoo.rounding import Affine

PITFALL = None
HUNTS = ("layers", "reference")


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, mid):
        out = layer.product(mid, layer.weight)
        return out if layer.bias is None else out + layer.bias / 2

    patch.setattr(Affine, "centre", planted)
