"""Interval arithmetic of affine layers ignores its own rounding (A)."""

from __future__ import annotations

import pytest

import zoo.rounding.readings as readings

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(readings, "real_slack", lambda num_terms, magnitude: 0 * magnitude)
