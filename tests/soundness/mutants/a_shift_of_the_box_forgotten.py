"""The box of a shifted image is that of the image where it was."""

from __future__ import annotations

import pytest

from soundness.planting import rule
from zoo.layers import Shift
from zoo.rules import interval

PITFALL = 12
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    rule(patch, interval, Shift, lambda layer, lower, upper, reading=None: (lower, upper))
