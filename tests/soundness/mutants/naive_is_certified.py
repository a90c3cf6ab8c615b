"""Certified means that the bound is positive with rounding ignored, as papers count."""

from __future__ import annotations

import pytest

from zoo.certification import Certificate

PITFALL = None
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Certificate, "certified_B", property(lambda c: c.naive_B))
