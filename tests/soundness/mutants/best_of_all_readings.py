"""The best of several bounds lets a reading without rounding count for all."""

from __future__ import annotations

import pytest

from zoo.bounds.base import Margins
from zoo.bounds.best import Best

PITFALL = None
HUNTS = ("stepwise",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Best.sweep

    def planted(*args):
        for margins in original(*args):
            naive_BK = margins.naive_BK
            yield Margins(naive_BK, naive_BK.to(margins.real_BK.dtype), naive_BK)

    patch.setattr(Best, "sweep", planted)
