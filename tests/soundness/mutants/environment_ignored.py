"""An environment variable that makes libraries round operands to TF32 is not seen."""

from __future__ import annotations

import pytest

import zoo.rounding.strict as strict

PITFALL = 8
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = strict._refuse
    patch.setattr(strict, "_refuse", lambda found: original(found | {"environment": []}))
