"""A subclass is bounded by its parent's rule, whatever its own forward does."""

from __future__ import annotations

import pytest

from zoo.rules.dispatch import Rule

PITFALL = None
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Rule.__call__

    def planted(rule, layer, *arguments, **options):
        kind = next((kind for kind in type(layer).__mro__ if kind in rule._table), None)
        if kind is None or kind is type(layer):
            return original(rule, layer, *arguments, **options)
        return rule._table[kind](layer, *arguments, **options)

    patch.setattr(Rule, "__call__", planted)
