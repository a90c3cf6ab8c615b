"""The label's own column is told by its value, 0: a class that ties is passed over with it."""

from __future__ import annotations

import pytest
import torch

import zoo.certification.certifier as certifier

PITFALL = 9
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        certifier,
        "worst",
        lambda m_BK, y_B: torch.where(m_BK == 0, torch.inf, m_BK).amin(1),
    )
