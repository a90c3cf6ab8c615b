"""Tensors of a file are fitted to the net: what is missing stays as it was."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

import zoo.weights as weights

PITFALL = 15
HUNTS = ("files",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(model, path):
        own = model.state_dict()
        fits = {k: t for k, t in load_file(path).items() if k in own and t.shape == own[k].shape}
        model.load_state_dict(fits, strict=False)

    patch.setattr(weights, "load_tensors", planted)
