"""Claims are checked on whatever test images are there."""

from __future__ import annotations

import pytest

import zoo.publishing.claims as claims
from zoo.cards.card import Card

PITFALL = 6
HUNTS = ("claims",)


def plant(patch: pytest.MonkeyPatch) -> None:
    class Careless(Card):
        @classmethod
        def read(cls, folder):
            card = Card.read(folder)
            return card.model_copy(
                update={"split_sha256": claims.load_data(card.data, card.split).sha256}
            )

    patch.setattr(claims, "Card", Careless)
