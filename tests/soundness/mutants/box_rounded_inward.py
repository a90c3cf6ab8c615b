"""The ends of the box are rounded towards its centre: not all of the real box is certified."""

from __future__ import annotations

import pytest

import zoo.boxes as boxes

PITFALL = None
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    down, up = boxes.cast_down, boxes.cast_up
    patch.setattr(boxes, "cast_down", up)
    patch.setattr(boxes, "cast_up", down)
