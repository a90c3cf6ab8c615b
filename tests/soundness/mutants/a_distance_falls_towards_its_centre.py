"""The line below a distance has the slope of the other side of its centre."""

from __future__ import annotations

import pytest

import zoo.layers.lp_dist as lp_dist

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = lp_dist.pull_picks

    def planted(picks, rows, ends, ledger):
        other = picks._replace(lower_slope=-picks.lower_slope)
        return original(other, rows, ends, ledger)

    patch.setattr(lp_dist, "pull_picks", planted)
