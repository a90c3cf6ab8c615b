"""Linear forms of a residual sum are pulled through its body alone."""

from __future__ import annotations

import pytest

from soundness.planting import rule
from zoo.layers import Add
from zoo.rules import Pulled, pull

PITFALL = None
HUNTS = ("backward", "border_linear")


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, rows, ends, relax, ledger):
        return Pulled([rows, 0 * rows], rows.new_zeros(rows.shape[:2]))

    rule(patch, pull, Add, planted)
