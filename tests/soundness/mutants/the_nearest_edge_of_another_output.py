"""A pruned distance is bounded by an edge that another output has kept."""

from __future__ import annotations

import pytest

import zoo.layers.pruned as pruned

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = pruned.linf_dist_sparse_nearest
    patch.setattr(pruned, "linf_dist_sparse_nearest", lambda *args: original(*args).roll(1, 1))
