"""The layers that a card lists for other checkers need not be those of the net."""

from __future__ import annotations

import pytest

import zoo.publishing.claims as claims
from zoo.cards.card import Card
from zoo.rules import describe

PITFALL = None
HUNTS = ("claims",)


def plant(patch: pytest.MonkeyPatch) -> None:
    class Careless(Card):
        @classmethod
        def read(cls, folder):
            layers = tuple(describe(claims.load(folder)))
            return Card.read(folder).model_copy(update={"layers": layers})

    patch.setattr(claims, "Card", Careless)
