"""A variance plus eps that float32 rounds to 0 is divided by as float64 has it."""

from __future__ import annotations

import importlib

import pytest
from torch import nn

PITFALL = None
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("zoo.rules.obstacle")
    obstacle = module.obstacle

    def lenient(layer: nn.Module) -> str | None:
        return None if isinstance(layer, nn.BatchNorm2d) else obstacle(layer)

    patch.setattr(module, "obstacle", lenient)
