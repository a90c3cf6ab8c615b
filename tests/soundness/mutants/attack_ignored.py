"""What an attack broke is not told: its images stay unknown."""

from __future__ import annotations

import pytest
import torch

from soundness.planting import evaluation

PITFALL = None
HUNTS = ("counts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = evaluation._falsified
    patch.setattr(evaluation, "_falsified", lambda *a: torch.zeros_like(original(*a)))
