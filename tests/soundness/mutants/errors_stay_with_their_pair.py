"""The larger of a pair keeps the error of its own place, wherever it came from."""

from __future__ import annotations

import pytest

from soundness.planting import rule
from zoo.layers import MaxMin
from zoo.rules import forward_error

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    rule(patch, forward_error, MaxMin, lambda layer, x, unit: x.after(layer(x.value), x.error, 0))
