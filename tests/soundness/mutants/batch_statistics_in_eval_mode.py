"""A MeanShift centres by the batch in eval mode too, as batch norm without running averages."""

from __future__ import annotations

import pytest

from zoo.layers import MeanShift

PITFALL = 1
HUNTS = ("reproducible",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, x):
        others = [dim for dim in range(x.ndim) if dim != 1]
        return x - x.mean(others, keepdim=True)

    patch.setattr(MeanShift, "forward", planted)
