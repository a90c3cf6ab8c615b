"""A distance from what stands in a convolution's border is followed as if it were an entry's."""

from __future__ import annotations

import pytest

import zoo.layers.lp_dist as lp_dist

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = lp_dist._entries
    patch.setattr(lp_dist, "_entries", lambda *args: original(*args).clamp_min(0))
