"""What rounding takes from a zonotope is not given back to its box part."""

from __future__ import annotations

import pytest

from zoo.rounding import Zonotope

PITFALL = None
HUNTS = ("zonotopes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Zonotope, "widened", lambda zonotope, num_units, size: zonotope)
