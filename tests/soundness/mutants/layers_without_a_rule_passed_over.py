"""A layer that has no rule is taken for the identity, as dropout in eval mode is."""

from __future__ import annotations

import pytest

from zoo.rules import interval
from zoo.rules.dispatch import Rule

PITFALL = 2
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Rule.__call__

    def planted(rule, layer, *arguments, **options):
        if type(layer) not in rule._table and rule is interval:
            return arguments[:2]
        return original(rule, layer, *arguments, **options)

    patch.setattr(Rule, "__call__", planted)
