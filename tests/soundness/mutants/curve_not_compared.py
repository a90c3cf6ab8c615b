"""A card's curve is drawn, and nobody measures it again."""

from __future__ import annotations

import pytest

import zoo.publishing.claims as claims
from zoo.cards.card import Card

PITFALL = None
HUNTS = ("claims",)


def plant(patch: pytest.MonkeyPatch) -> None:
    class Careless(Card):
        @classmethod
        def read(cls, folder):
            card = Card.read(folder)
            none = card.curve.model_copy(update={"n_certified": (0,) * len(card.curve.eps)})
            return card.model_copy(update={"curve": none})

    patch.setattr(claims, "Card", Careless)
