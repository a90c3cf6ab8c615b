"""The inputs that a pruned net's edges name need not be there."""

from __future__ import annotations

import pytest

import zoo.layers.pruned as pruned

PITFALL = None
HUNTS = ("files",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pruned, "edges_obstacle", lambda num_in, index_E, start: None)
