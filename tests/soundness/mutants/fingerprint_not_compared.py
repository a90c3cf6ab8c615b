"""The hash of the logits is published, and nobody compares it."""

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
            return Card.read(folder).model_copy(update={"logits_sha256": None})

    patch.setattr(claims, "Card", Careless)
