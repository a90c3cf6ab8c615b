"""Certificates are made under autocast, where affine layers run in bfloat16."""

from __future__ import annotations

import pytest

import zoo.rounding.strict as strict

PITFALL = 8
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = strict._refuse
    patch.setattr(strict, "_refuse", lambda found: original(found | {"autocast": False}))
