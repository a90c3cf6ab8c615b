"""A ledger that nobody reads: backward bounds are taken for exact."""

from __future__ import annotations

import pytest

from zoo.rounding import Ledger

PITFALL = None
HUNTS = ("stepwise",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "slack", lambda ledger: 0.0)
