"""Certified means A: what the program does is not asked."""

from __future__ import annotations

import pytest

from zoo.certification import Certificate

PITFALL = None
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Certificate, "certified_B", property(lambda c: c.real_B))
