"""Nets in float16 and bfloat16 are certified."""

from __future__ import annotations

import pytest

import zoo.certification.certifier as certifier

PITFALL = 8
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(certifier, "_check_dtype", lambda model: None)
