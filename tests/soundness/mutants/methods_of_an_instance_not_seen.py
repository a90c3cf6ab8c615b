"""A convolution whose inner function was replaced is bounded as if it were not."""

from __future__ import annotations

import pytest

import zoo.rules.dispatch as dispatch

PITFALL = None
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatch, "_overridden", lambda layer: "forward" in vars(layer))
