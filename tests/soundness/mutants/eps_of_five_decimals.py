"""8/255 is read as 0.03137, as in the commands of published repositories."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from soundness.planting import everywhere
from zoo.eps import parse_eps

PITFALL = 3
HUNTS = ("verdicts", "arithmetic")


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(eps):
        return Fraction(math.floor(parse_eps(eps) * 10**5), 10**5)

    everywhere(patch, parse_eps, planted)
