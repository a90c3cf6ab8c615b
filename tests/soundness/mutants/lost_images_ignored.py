"""A check of claims counts images, and does not ask which: none is ever missed."""

from __future__ import annotations

import pytest

import zoo.publishing.claims as claims

PITFALL = None
HUNTS = ("claims",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = claims._claimed

    def planted(folder, card):
        original(folder, card)
        return set()

    patch.setattr(claims, "_claimed", planted)
