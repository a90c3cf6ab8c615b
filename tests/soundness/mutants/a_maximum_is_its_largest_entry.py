"""Max-pooling is taken, from above too, for the entry with the largest lower end."""

from __future__ import annotations

import pytest
import torch

import zoo.rules.max_pool as max_pool

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = max_pool.pull_picks

    def planted(picks, rows, ends, ledger):
        always = picks._replace(
            upper_slope=torch.ones_like(picks.upper_slope),
            upper_offset=torch.zeros_like(picks.upper_offset),
        )
        return original(always, rows, ends, ledger)

    patch.setattr(max_pool, "pull_picks", planted)
