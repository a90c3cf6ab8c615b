"""A minimum, as minus a maximum, keeps the lines of the maximum."""

from __future__ import annotations

import pytest

from zoo.rules import Picks

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Picks, "mirrored", lambda picks: picks)
