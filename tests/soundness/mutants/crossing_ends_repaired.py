"""Ends that cross are replaced by their mean (seen in a published kernel)."""

from __future__ import annotations

import pytest
import torch

import zoo.bounds.interval as bound

PITFALL = 12
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = bound.interval

    def planted(*arguments):
        lower, upper = original(*arguments)
        mean = (lower + upper) / 2
        return torch.minimum(lower, mean), torch.maximum(upper, mean)

    patch.setattr(bound, "interval", planted)
