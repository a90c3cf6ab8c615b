"""A bound that is an estimate, good for training, certifies."""

from __future__ import annotations

import pytest

import zoo.certification.certifier as certifier

PITFALL = 4
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    class Trusting:
        def __getitem__(self, name):
            found = certifier_bounds[name]
            return type(found.__name__, (found,), {"sound": True})

    certifier_bounds = certifier.bounds
    patch.setattr(certifier, "bounds", Trusting())
