"""The interval of a program's sums is that of the exact ones: orders that round are forgotten."""

from __future__ import annotations

import pytest

import zoo.rounding.readings as readings
from zoo.rounding import real_slack

PITFALL = 8
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        readings, "deployed_slack", lambda n, magnitude, program: real_slack(n, magnitude)
    )
