"""Max-pooling whose windows lie wholly in its padding is taken like any other."""

from __future__ import annotations

import pytest

import zoo.rules.max_pool as max_pool

PITFALL = None
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(max_pool, "_check_windows", lambda layer, x_BCHW: None)
