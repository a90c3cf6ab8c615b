"""The layers that a card lists for other checkers need not be those of the net."""

from __future__ import annotations

import pytest

from soundness.planting import claims_of_another_card
from zoo.rules import describe

PITFALL = None
HUNTS = ("claims",)


def plant(patch: pytest.MonkeyPatch) -> None:
    claims_of_another_card(patch, lambda net, card: {"layers": tuple(describe(net))})
