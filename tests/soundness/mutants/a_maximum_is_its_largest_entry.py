"""Max-pooling is taken, from above too, for the entry with the largest lower end."""

from __future__ import annotations

import pytest
import torch

import zoo.rules.picks as rules

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = rules.pull_picks

    def planted(picks, rows, ends, ledger):
        if (picks.lower_slope == 1).all():  # as it is in no distance layer
            same = torch.ones_like(picks.upper_slope), torch.zeros_like(picks.upper_offset)
            picks = picks._replace(upper_slope=same[0], upper_offset=same[1])
        return original(picks, rows, ends, ledger)

    patch.setattr(rules, "pull_picks", planted)
