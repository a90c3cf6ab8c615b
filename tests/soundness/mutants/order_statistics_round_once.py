"""A sum of order statistics is taken for one rounded number, as a maximum is."""

from __future__ import annotations

import pytest

import zoo.layers.sort_dist as sort_dist

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sort_dist, "ordered_error", lambda k, total, unit: unit * total.double())
