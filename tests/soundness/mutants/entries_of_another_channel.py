"""Max-pooling of the second channel looks for its entries in the first."""

from __future__ import annotations

import pytest

import zoo.rules.picks as rules

PITFALL = None
HUNTS = ("zonotopes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = rules.enclose_picks

    def planted(picks, zonotope, out, remainder):
        channels = zonotope.centre.shape[1] if zonotope.centre.ndim == 4 else 1
        size = zonotope.centre[0].numel() // channels
        return original(picks._replace(at=picks.at % size), zonotope, out, remainder)

    patch.setattr(rules, "enclose_picks", planted)
