"""`~(margin <= 0)` for `margin > 0`: a NaN certifies (seen in a verifier's pull request)."""

from __future__ import annotations

import pytest

import zoo.certification.certifier as certifier

PITFALL = 10
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = certifier.worst
    patch.setattr(certifier, "worst", lambda m_BK, y_B: original(m_BK, y_B).nan_to_num(nan=1.0))
