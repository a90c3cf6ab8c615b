"""An error inside the bound leaves the verdict that it would have denied (seen in a verifier)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from soundness.asking import Planted
from zoo.certification import Certifier

PITFALL = 14
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Certifier.__call__

    def planted(certifier, x_BCHW, y_B, radii, *, clip=True):
        try:
            return original(certifier, x_BCHW, y_B, radii, clip=clip)
        except ArithmeticError:
            bound, fine = certifier.bound, torch.ones(len(y_B), len(certifier.model(x_BCHW)[0]))
            certifier.bound = Planted(fine, fine, fine)
            found = original(certifier, x_BCHW, y_B, radii, clip=clip)
            certifier.bound = bound
            return [replace(certificate, bound=bound.name) for certificate in found]

    patch.setattr(Certifier, "__call__", planted)
