"""A check of claims counts images, and does not ask which: none is ever missed."""

from __future__ import annotations

import pytest

import zoo.publishing.claims as claims

PITFALL = None
HUNTS = ("claims",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claims, "_check_images", lambda card, claimed, found: None)
