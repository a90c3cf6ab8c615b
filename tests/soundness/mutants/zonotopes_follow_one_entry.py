"""Zonotopes of a maximum are those of one entry of its window, whichever may be larger."""

from __future__ import annotations

import pytest

import zoo.rules.picks as rules

PITFALL = None
HUNTS = ("zonotopes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = rules.enclose_picks

    def planted(picks, zonotope, out, remainder):
        below = picks.lower_slope, picks.lower_offset
        one = picks._replace(upper_slope=below[0], upper_offset=below[1])
        return original(one, zonotope, out, remainder)

    patch.setattr(rules, "enclose_picks", planted)
