"""A layer that overwrites its input is bounded as if the other branch still had it."""

from __future__ import annotations

import importlib

import pytest

PITFALL = None
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    obstacle = importlib.import_module("zoo.rules.obstacle")
    patch.setattr(obstacle, "_overwriting", lambda layer: None)
