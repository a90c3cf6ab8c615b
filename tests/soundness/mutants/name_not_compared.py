"""A model's name says one eps, its card another."""

from __future__ import annotations

import pytest

import zoo.cards.card as card

PITFALL = 3
HUNTS = ("claims",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(card, "contradiction", lambda name, arch, data, eps: None)
