"""The program's errors are those of its last layer: what came in is forgotten."""

from __future__ import annotations

import pytest
import torch

from soundness.planting import everywhere
from zoo.rules import affine_drift

PITFALL = None
HUNTS = ("stepwise",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(affine, error, ends, program):
        return affine_drift(affine, torch.zeros_like(error), ends, program)

    everywhere(patch, affine_drift, planted)
