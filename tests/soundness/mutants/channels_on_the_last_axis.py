"""BatchNorm1d scales the last axis of (B, C, L), where its channels are not."""

from __future__ import annotations

import pytest
import torch

import zoo.rules.torch_affine as torch_affine

PITFALL = None
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch_affine, "_scaled_rows", torch.mul)
