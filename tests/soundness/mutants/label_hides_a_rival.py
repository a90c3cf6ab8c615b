"""The label's column is taken out together with the one behind it: a wrong elision."""

from __future__ import annotations

import math

import pytest

import zoo.certification.certifier as certifier

PITFALL = 9
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(margins_BK, y_B):
        at_B2 = y_B[:, None].repeat(1, 2)
        at_B2[:, 1] = (at_B2[:, 1] + 1) % margins_BK.shape[1]
        return margins_BK.scatter(1, at_B2, math.inf).amin(1)

    patch.setattr(certifier, "worst", planted)
