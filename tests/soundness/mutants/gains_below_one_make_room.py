"""What may overflow is judged by the constant of the whole net, however large it was in between."""

from __future__ import annotations

import pytest

import zoo.bounds.lipschitz as lipschitz

PITFALL = 8
HUNTS = ("extremes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    check = lipschitz._check_range

    def planted(model, growth, dtype):
        check(model, max(1, lipschitz.lipschitz_constant(model)), dtype)

    patch.setattr(lipschitz, "_check_range", planted)
