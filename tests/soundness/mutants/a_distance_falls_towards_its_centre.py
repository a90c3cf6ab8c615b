"""The line below a distance has the slope of the other side of its centre."""

from __future__ import annotations

import pytest

import zoo.rules.picks as rules

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = rules.pull_picks

    def planted(picks, rows, ends, ledger):
        if not (picks.lower_slope == 1).all():  # as it is in max-pooling
            picks = picks._replace(lower_slope=-picks.lower_slope)
        return original(picks, rows, ends, ledger)

    patch.setattr(rules, "pull_picks", planted)
