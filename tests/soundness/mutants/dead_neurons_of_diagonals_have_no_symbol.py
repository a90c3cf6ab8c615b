"""A dead neuron keeps slope 1 and is moved by -l / 2, and nothing says how far that is off.

Seen in a published implementation of DeepZ-Diag-C: [-4, -1] became [-2, 1].
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from soundness.planting import rule
from zoo.rules import enclose

PITFALL = None
HUNTS = ("zonotopes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = enclose._table[nn.ReLU]

    def planted(layer, zonotopes, ends, relax, remainder):
        ((lower, upper),) = ends
        slopes = relax(lower, upper)
        dead = upper <= 0
        if not (slopes.lower[dead] == 1).all():
            return original(layer, zonotopes, ends, relax, remainder)
        least = torch.where(dead, -lower / 2, 0.0)
        most = torch.where(dead, -lower / 2, -lower.clamp_max(0))
        bent = (lower < 0) & ~dead
        return zonotopes[0].band(slopes.lower, least, most, bent, remainder)

    rule(patch, enclose, nn.ReLU, planted)
