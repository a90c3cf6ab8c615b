"""Ends that cross are replaced by their mean (seen in a published kernel)."""

from __future__ import annotations

import importlib

import pytest
import torch

PITFALL = 12
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    margins = importlib.import_module("zoo.propagation.margins")
    original = margins.interval_ends

    def planted(*arguments):
        pairs = [(lower, upper, (lower + upper) / 2) for lower, upper in original(*arguments)]
        return [
            (torch.minimum(lower, mean), torch.maximum(upper, mean)) for lower, upper, mean in pairs
        ]

    patch.setattr(margins, "interval_ends", planted)
    patch.setattr(margins, "_check_order", lambda ends: None)
