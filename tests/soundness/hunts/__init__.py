"""Hunts: each looks for one family of certificates that are wrong, in less than a second.

A module here has ``hunt()``, an iterator of findings, each a line that says what is wrong; on sound
code there are none. A hunt is found because it lies in this folder.
"""

from __future__ import annotations

import importlib
import pkgutil

from soundness import asking

# What a finding begins with where the hunt itself failed: something is wrong, nobody knows what.
CRASHED = "crashed:"


def names() -> list[str]:
    """All hunts."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def prepare() -> None:
    """To be called before anything is planted, as what is imported or made later would hold it."""
    for name in names():
        importlib.import_module(f"{__name__}.{name}")
    asking.published()


def first_finding(name: str) -> str | None:
    """What a hunt finds first; None if all is sound."""
    hunt = importlib.import_module(f"{__name__}.{name}").hunt
    try:
        return next(iter(hunt()), None)
    except Exception as error:
        return f"{CRASHED} {type(error).__name__}: {error}"
