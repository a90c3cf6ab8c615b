"""Inputs of distance layers are dropped at random in eval mode too (SortNet trains so)."""

from __future__ import annotations

import pytest
import torch

from zoo.layers import LpDistLinear

PITFALL = 2
HUNTS = ("reproducible",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = LpDistLinear.rows

    def planted(layer, x):
        return original(layer, torch.nn.functional.dropout(x, 0.1))

    patch.setattr(LpDistLinear, "rows", planted)
