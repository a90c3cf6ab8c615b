"""The hash of the logits is published, and nobody compares it."""

from __future__ import annotations

import pytest

from soundness.planting import claims_of_another_card

PITFALL = None
HUNTS = ("claims",)


def plant(patch: pytest.MonkeyPatch) -> None:
    claims_of_another_card(patch, lambda net, card: {"logits_sha256": None})
