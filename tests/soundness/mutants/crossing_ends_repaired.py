"""Ends that cross are replaced by their mean (seen in a published kernel)."""

from __future__ import annotations

import importlib

import pytest
import torch

PITFALL = 12
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    margins = importlib.import_module("zoo.rules.margins")
    original = margins.interval

    def planted(*arguments):
        lower, upper = original(*arguments)
        mean = (lower + upper) / 2
        return torch.minimum(lower, mean), torch.maximum(upper, mean)

    patch.setattr(margins, "interval", planted)
    patch.setattr(margins, "_check_order", lambda lower, upper: None)
