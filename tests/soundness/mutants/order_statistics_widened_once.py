"""Ends of sums of order statistics move outward for one rounding, and not for each."""

from __future__ import annotations

import pytest

from zoo.rounding import REAL

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    kind = type(REAL)
    patch.setattr(kind, "ordered_sum", lambda self, k, lower, upper: self.step(lower, upper))
