"""The ends of all logits are taken, as if the largest and the least could meet at one input."""

from __future__ import annotations

import importlib

import pytest

from zoo.rules.dispatch import Rule

HUNTS = ("reference",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(importlib.import_module("zoo.rules.margins"), "elided", Rule("elided"))
