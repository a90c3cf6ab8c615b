"""The worst margin is found by comparisons that pass over NaN, as fmin and numpy's nanmin do."""

from __future__ import annotations

import pytest
import torch

import zoo.certification.certifier as certifier

PITFALL = 10
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = certifier.worst

    def planted(margins_BK, y_B):
        return original(torch.where(margins_BK.isnan(), torch.inf, margins_BK), y_B)

    patch.setattr(certifier, "worst", planted)
