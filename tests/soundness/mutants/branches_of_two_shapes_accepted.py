"""A residual sum repeats its smaller branch, as torch does; forms of it see one of many."""

from __future__ import annotations

import pytest

import zoo.layers.residual as residual

PITFALL = None
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(residual, "_check_shapes", lambda a, b: None)
