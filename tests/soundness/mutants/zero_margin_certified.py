"""`>=` for `>`: a margin of exactly 2 eps certifies."""

from __future__ import annotations

import pytest
import torch

import zoo.certification.certifier as certifier

PITFALL = 11
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = certifier.worst

    def planted(margins_BK, y_B):
        found_B = original(margins_BK, y_B)
        return torch.where(found_B == 0, torch.finfo(found_B.dtype).tiny, found_B)

    patch.setattr(certifier, "worst", planted)
