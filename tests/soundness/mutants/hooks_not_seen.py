"""Forward hooks change what a layer computes, and its rule does not look."""

from __future__ import annotations

import pytest

from zoo.rules.dispatch import Rule

PITFALL = None
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Rule.__call__

    def planted(rule, layer, *arguments, **options):
        if type(layer) not in rule._table:
            return original(rule, layer, *arguments, **options)
        return rule._table[type(layer)](layer, *arguments, **options)

    patch.setattr(Rule, "__call__", planted)
