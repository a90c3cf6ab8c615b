"""The interval of -x is [-lower, -upper]."""

from __future__ import annotations

import pytest

from soundness.planting import rule
from zoo.layers import Negate
from zoo.rules import interval

PITFALL = 12
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    rule(patch, interval, Negate, lambda layer, lower, upper, reading=None: (-lower, -upper))
