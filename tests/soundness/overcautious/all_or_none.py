"""One image of a batch that fails makes all of it fail."""

from __future__ import annotations

import pytest

import zoo.certification.certifier as certifier

HUNTS = ("reference",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = certifier.worst

    def planted(margins_BK, y_B):
        found_B = original(margins_BK, y_B)
        return found_B.amin().expand_as(found_B)

    patch.setattr(certifier, "worst", planted)
