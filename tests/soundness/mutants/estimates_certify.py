"""A bound that is an estimate, good for training, certifies."""

from __future__ import annotations

import pytest

import zoo.certification.certifier as certifier
from zoo.bounds import Bound

PITFALL = 4
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    create_bound = certifier.create_bound

    def trusted(name: str) -> Bound:
        bound = create_bound(name)
        bound.sound = True  # pyright: ignore[reportAttributeAccessIssue]
        return bound

    patch.setattr(certifier, "create_bound", trusted)
