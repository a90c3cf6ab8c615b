"""The float64 copy of a net is made once: A is proved for weights that are no more."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest

import zoo.certification.certifier as certifier

PITFALL = 15
HUNTS = ("reproducible",)


def plant(patch: pytest.MonkeyPatch) -> None:
    twins: dict = {}

    def kept(model):
        if model not in twins:
            twins[model] = copy.deepcopy(model)
        return twins[model]

    def planted(model):
        return SimpleNamespace(double=lambda: copy.deepcopy(kept(model)).double())

    patch.setattr(certifier, "copy", SimpleNamespace(deepcopy=planted))
