"""Nobody looks whether weights are finite: a NaN can vanish in a maximum."""

from __future__ import annotations

import pytest
import torch

from soundness.planting import checked_as
from zoo.rules import check_certifiable

PITFALL = 10
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def repair(model) -> None:
        with torch.no_grad():
            for tensor in [*model.parameters(), *model.buffers()]:
                if tensor.is_floating_point():
                    tensor.nan_to_num_(1.0, 1.0, -1.0)

    checked_as(patch, check_certifiable, repair)
