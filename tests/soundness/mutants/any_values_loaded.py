"""Tensors of a file are loaded without a look at their values."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import zoo.weights as weights

PITFALL = 10
HUNTS = ("files",)


def plant(patch: pytest.MonkeyPatch) -> None:
    blind = SimpleNamespace(
        isfinite=lambda t: torch.ones_like(t, dtype=torch.bool), Tensor=torch.Tensor
    )
    patch.setattr(weights, "torch", blind)
