"""Nobody looks whether this thread rounds to nearest; some library left it rounding up."""

from __future__ import annotations

import pytest

import zoo.rounding.strict as strict

PITFALL = 8
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = strict._refuse
    patch.setattr(strict, "_refuse", lambda found: original(found | {"round_to_nearest": True}))
