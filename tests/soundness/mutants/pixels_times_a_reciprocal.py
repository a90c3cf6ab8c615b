"""Pixels are v * float32(1 / 255), as CUDA divides: half of them differ from v / 255."""

from __future__ import annotations

import pytest
import torch

import zoo.data.pixels as pixels

PITFALL = 6
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(levels):
        return torch.arange(256, dtype=torch.float32) * torch.tensor(1 / levels)

    patch.setattr(pixels, "level_table", planted)
