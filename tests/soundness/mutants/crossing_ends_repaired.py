"""Ends that cross are replaced by their mean (seen in a published kernel)."""

from __future__ import annotations

import importlib

import pytest
import torch

PITFALL = 12
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    reach = importlib.import_module("zoo.propagation.reach")
    original = reach.interval_ends

    def planted(*arguments):
        pairs = [(lower, upper, (lower + upper) / 2) for lower, upper in original(*arguments)]
        return [
            (torch.minimum(lower, mean), torch.maximum(upper, mean)) for lower, upper, mean in pairs
        ]

    patch.setattr(reach, "interval_ends", planted)
    margins = importlib.import_module("zoo.propagation.margins")
    patch.setattr(margins, "_check_order", lambda ends: None)
