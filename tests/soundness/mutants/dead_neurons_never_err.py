"""A neuron that is dead in the exact net is taken to be dead in its program."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from soundness.planting import rule
from zoo.rules import drift

PITFALL = None
HUNTS = ("stepwise",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, errors, ends, program):
        return torch.where(ends[0][1] <= 0, 0.0, errors[0])

    rule(patch, drift, nn.ReLU, planted)
