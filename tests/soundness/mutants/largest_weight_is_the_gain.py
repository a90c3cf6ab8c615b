"""The gain of a linear layer is taken for its largest weight, not for its largest row."""

from __future__ import annotations

import pytest

from zoo.rules import torch_affine

PITFALL = 5
HUNTS = ("extremes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch_affine, "row_norms", lambda weight_OI: weight_OI.detach().abs().amax(1))
