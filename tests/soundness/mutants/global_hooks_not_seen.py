"""A hook on all modules changes what a net computes, and no layer shows it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import zoo.rules.dispatch as dispatch

PITFALL = None
HUNTS = ("extremes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    none = SimpleNamespace(_global_forward_hooks={}, _global_forward_pre_hooks={})
    patch.setattr(dispatch, "module", none)
