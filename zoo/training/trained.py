"""Nets that were trained before, wherever they lie: a published name, a weight folder or a run."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from zoo.data.load import load_data
from zoo.layers import set_exponent
from zoo.tensors import load_tensors
from zoo.training.build import build_model
from zoo.training.run import RunFolder, holds_run
from zoo.weights import load


def find_trained(source: str) -> tuple[nn.Module, str]:
    """The net in eval mode at p = inf, in the form that lies there, and its weight file's hash.

    Raises:
        NotFoundError, IntegrityError: see zoo.load and RunFolder.open.
    """
    if not holds_run(source):
        published = load(source)
        card: Any = published.card
        return published, card.sha256
    run = RunFolder.open(source)
    trained = build_model(run.recipe.model, load_data(run.recipe.data, "train"))
    sha256 = load_tensors(trained, run.path / "model.safetensors")
    set_exponent(trained, math.inf)
    return trained.eval(), sha256
