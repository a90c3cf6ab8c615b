"""The slack of affine layers is a thousand times what rounding can do."""

from __future__ import annotations

import pytest

import zoo.rounding.readings as readings
from zoo.rounding import deployed_slack

HUNTS = ("reference",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(readings, "deployed_slack", lambda *arguments: 1000 * deployed_slack(*arguments))
