"""A card's curve is drawn, and nobody measures it again."""

from __future__ import annotations

import pytest

from soundness.planting import claims_of_another_card

PITFALL = None
HUNTS = ("claims",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def none(net, card):
        zeros = (0,) * len(card.curve.eps)
        return {"curve": card.curve.model_copy(update={"n_certified": zeros})}

    claims_of_another_card(patch, none)
