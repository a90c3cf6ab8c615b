"""Positive coefficients take the upper line, negative ones the lower."""

from __future__ import annotations

import pytest
from torch import nn

from soundness.planting import rule
from zoo.rules import pull
from zoo.rules.pull import Pulled

PITFALL = None
HUNTS = ("border_stepwise",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = pull._table[nn.ReLU]

    def planted(layer, rows, ends, relax, ledger):
        found = original(layer, -rows, ends, relax, ledger)  # a lower bound of -rows
        return Pulled([-row for row in found.rows], -found.constant_BS)

    rule(patch, pull, nn.ReLU, planted)
