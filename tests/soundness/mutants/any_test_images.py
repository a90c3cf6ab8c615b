"""Claims are checked on whatever test images are there."""

from __future__ import annotations

import pytest

import zoo.publishing.claims as claims

PITFALL = 6
HUNTS = ("claims",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claims, "check_split", lambda card, pixels: None)
