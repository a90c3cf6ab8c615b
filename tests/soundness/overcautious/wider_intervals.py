"""Every interval of distances is widened by 1e-3."""

from __future__ import annotations

import pytest

import zoo.layers.lp_dist as lp_dist
from zoo.ops import linf_dist_bounds

HUNTS = ("reference",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(*arguments):
        lower, upper = linf_dist_bounds(*arguments)
        return lower - 1e-3, upper + 1e-3

    patch.setattr(lp_dist, "linf_dist_bounds", planted)
