"""The box part of a zonotope is multiplied by W, not by |W|."""

from __future__ import annotations

import pytest

from zoo.rounding import Zonotope

PITFALL = None
HUNTS = ("zonotopes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Zonotope.affine

    def planted(zonotope, layer):
        made = original(zonotope, layer)
        signed = layer.product(zonotope.radius, layer.weight).abs()
        return Zonotope(made.centre, signed, made.symbols, made.rigorous)

    patch.setattr(Zonotope, "affine", planted)
