"""A sum of n products is taken to round once, as if it were accumulated in a wider type."""

from __future__ import annotations

import pytest

import zoo.rounding.readings as readings
from zoo.rounding import deployed_slack

PITFALL = 8
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        readings,
        "deployed_slack",
        lambda n, magnitude, program: deployed_slack(0, magnitude, program),
    )
