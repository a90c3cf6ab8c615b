"""How bugs are planted: names are replaced wherever they were imported, rules in their tables."""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

import zoo.publishing.claims as claims
from zoo.cards.card import Card
from zoo.rules import Rounded
from zoo.rules.dispatch import Rule

# Its package has a function of this name, which an import statement would find.
evaluation = importlib.import_module("zoo.certification.evaluate")


def everywhere(patch: pytest.MonkeyPatch, original: Any, planted: Any) -> None:
    """Replace a function in every module of the package, and where the border method uses it.

    Names imported by value live on in the modules that imported them.
    """
    found = [
        (module, name)
        for key, module in list(sys.modules.items())
        if key.partition(".")[0] == "zoo" or key == "soundness.border"
        for name, value in list(vars(module).items())
        if value is original
    ]
    assert found, f"{original} is no name of the package: there is nothing to plant"
    for module, name in found:
        patch.setattr(module, name, planted)


def rule(
    patch: pytest.MonkeyPatch, table: Rule, kind: type[nn.Module], planted: Callable[..., Any]
) -> None:
    """Replace the rule of a layer type."""
    assert kind in table._table
    patch.setitem(table._table, kind, planted)


def checked_as(
    patch: pytest.MonkeyPatch, check: Callable[[nn.Module], Any], repair: Callable[[nn.Module], Any]
) -> None:
    """A check that looks at a repaired copy of the net, and so misses what was wrong with it."""

    def planted(model: nn.Module) -> Any:
        repaired = copy.deepcopy(model)
        repair(repaired)
        return check(repaired)

    everywhere(patch, check, planted)


def gains_not_counted(patch: pytest.MonkeyPatch) -> None:
    """Layers do not multiply up their gains, which would tell a constant that is too small."""

    def after(x: Rounded, value, error, num_roundings, gain=1.0) -> Rounded:
        return Rounded(value, error, x.num_roundings + num_roundings)

    patch.setattr(Rounded, "after", after)


def claims_of_another_card(
    patch: pytest.MonkeyPatch, change: Callable[[nn.Module, Card], dict[str, Any]]
) -> None:
    """A check of claims that reads some fields of the card as it likes them to be."""
    original = claims.load

    def planted(*where: Any, **options: Any) -> nn.Module:
        net = original(*where, **options)
        net.card = net.card.model_copy(update=change(net, net.card))
        return net

    patch.setattr(claims, "load", planted)
