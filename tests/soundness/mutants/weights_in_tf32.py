"""What is certified is a copy of the net with weights of 10 bits, as TF32 reads them."""

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
                bits = parameter.view(torch.int32)
                bits.copy_((bits + 0x1000) & ~0x1FFF)
        original(certifier, rounded, bound)

    patch.setattr(Certifier, "__init__", planted)
