"""A sum of n products is taken to err as one operation does, in the error of logits."""

from __future__ import annotations

import importlib

import pytest

from zoo.rounding import deployed_error

PITFALL = 8
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    affine = importlib.import_module("zoo.rules.affine")
    patch.setattr(affine, "deployed_error", lambda n, size, dtype: deployed_error(0, size, dtype))
