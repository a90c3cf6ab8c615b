"""Two branches number their new symbols alike, each as if it were the only one."""

from __future__ import annotations

import pytest

from zoo.rounding import NewSymbols

PITFALL = None
HUNTS = ("zonotopes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = NewSymbols.__call__

    def planted(remainder, zonotope, half, bent):
        remainder.count = 0
        return original(remainder, zonotope, half, bent)

    patch.setattr(NewSymbols, "__call__", planted)
