"""Small nets, images, and terms by their names: what tests of losses share.

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

import timm
import torch
from torch import Tensor, nn

import zoo.models  # noqa: F401
from zoo.terms import Term, View, terms

SIDE, CLASSES = 8, 3


def net_of(name: str, **sizes: object) -> nn.Module:
    """A small net in train mode."""
    torch.manual_seed(0)
    images = {"num_classes": CLASSES, "in_chans": 1, "img_size": SIDE, "mean": 0.3, "std": 0.4}
    return timm.create_model(name, **{"width": 8, **images, **sizes}).train()


def images(count: int = 5) -> tuple[Tensor, Tensor]:
    """Images and labels."""
    g = torch.Generator().manual_seed(1)
    return torch.rand(count, 1, SIDE, SIDE, generator=g), torch.arange(count) % CLASSES


def term(name: str, **settings: object) -> Term:
    return terms[name].model_validate({"name": name, **settings})


def view_of(net: nn.Module, eps: float | None = 0.05) -> View:
    return View(net, *images(), eps)
