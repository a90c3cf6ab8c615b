"""Tensors of a file are loaded without a look at their values."""

from __future__ import annotations

import pytest

import zoo.tensors as tensors

PITFALL = 10
HUNTS = ("files",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tensors, "_is_finite", lambda tensor: True)
