"""What is certified is a copy of the net with weights in bfloat16."""

from __future__ import annotations

import copy

import pytest
import torch

from zoo.certification import Certifier

PITFALL = 8
HUNTS = ("border_certify",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Certifier.__init__

    def planted(certifier, model, bound="auto"):
        rounded = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in rounded.parameters():
                parameter.copy_(parameter.bfloat16())
        original(certifier, rounded, bound)

    patch.setattr(Certifier, "__init__", planted)
