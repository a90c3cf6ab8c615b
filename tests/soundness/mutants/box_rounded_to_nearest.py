"""x - eps and x + eps are rounded to nearest."""

from __future__ import annotations

import pytest

import zoo.boxes as boxes

PITFALL = None
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    for name in ("next_down", "next_up"):
        patch.setattr(boxes, name, lambda x: x)
    for name in ("cast_down", "cast_up"):
        patch.setattr(boxes, name, lambda x, dtype: x.to(dtype))
