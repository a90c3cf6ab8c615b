"""An elided last layer forgets that the program rounds each of two logits by itself."""

from __future__ import annotations

import pytest

import zoo.rounding.readings as readings

PITFALL = None
HUNTS = ("heads",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(readings, "deployed_error", lambda num_terms, magnitude, program: 0 * magnitude)
