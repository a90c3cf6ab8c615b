"""The l_inf zoo: certifiably robust image classifiers to take, to train and to evaluate.

Importing this package is fast: torch is imported when a function that needs it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zoo.version import __version__

if TYPE_CHECKING:
    from zoo.attacks import attack
    from zoo.boxes import Box, box
    from zoo.cards.card import Card
    from zoo.cards.index import info, list_models
    from zoo.certification import Certificate, Report, certify, evaluate
    from zoo.plots import plot
    from zoo.publishing.averaged import average
    from zoo.publishing.from_run import publish
    from zoo.publishing.pruned import prune
    from zoo.runs import train
    from zoo.weights import create_model, load, save

_HOME = {
    "Box": "zoo.boxes",
    "Card": "zoo.cards.card",
    "Certificate": "zoo.certification",
    "Report": "zoo.certification",
    "attack": "zoo.attacks",
    "average": "zoo.publishing.averaged",
    "box": "zoo.boxes",
    "certify": "zoo.certification",
    "create_model": "zoo.weights",
    "evaluate": "zoo.certification",
    "info": "zoo.cards.index",
    "list_models": "zoo.cards.index",
    "load": "zoo.weights",
    "plot": "zoo.plots",
    "prune": "zoo.publishing.pruned",
    "publish": "zoo.publishing.from_run",
    "save": "zoo.weights",
    "train": "zoo.runs",
}

__all__ = [
    "Box",
    "Card",
    "Certificate",
    "Report",
    "__version__",
    "attack",
    "average",
    "box",
    "certify",
    "create_model",
    "evaluate",
    "info",
    "list_models",
    "load",
    "plot",
    "prune",
    "publish",
    "save",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
