"""Fine-tuning: begin with the weights of a trained net instead of random ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zoo.errors import UsageError
from zoo.layers import Normalize, SortDistLinear
from zoo.models import Net, fold, published_form, unfold
from zoo.rules import describe
from zoo.rules.describe import Description
from zoo.training.trained import find_trained


@dataclass(frozen=True)
class WarmStart:
    """Where a model's first weights came from.

    Attributes:
        source: as the recipe says it.
        sha256: of the weight file.
        copied: names of the tensors that were taken over.
        fresh: what was not, and why, a line each.
    """

    source: str
    sha256: str
    copied: list[str]
    fresh: list[str]

    def __str__(self) -> str:
        total = len(self.copied) + len(self.fresh)
        lines = [f"started from {self.source}: {len(self.copied)} of {total} tensors"]
        return "\n".join(lines + [f"  re-initialised {line}" for line in self.fresh])


@torch.no_grad()
def warm_start(model: nn.Module, source: str) -> WarmStart:
    """Copy every tensor of a trained net whose name and shape the model has; the rest stay random.

    Args:
        model: the recipe's net in its training form, with the recipe's own normalisation; or in its
            published form, which is taken over whole.
        source: a published name, a weight folder, or a finished run folder.

    Raises:
        NotFoundError, IntegrityError: see zoo.load.
        UsageError: no tensor fits, or not all of a published form.
    """
    trained, sha256 = _in_the_form_of(model, source)
    given = dict(trained.state_dict())
    elsewhere = _read_otherwise(model, trained)
    # The normalisation belongs to the data that is trained on, order weights to the recipe's rho:
    # neither to the net that came before.
    copied: list[str] = []
    fresh: list[str] = []
    for name, tensor in model.state_dict().items():
        if name in _fixed(model):
            continue
        if name in elsewhere:
            fresh.append(f"{name} {tuple(tensor.shape)}: it reads other features there")
        elif name not in given:
            fresh.append(f"{name} {tuple(tensor.shape)}: there is none there")
        elif given[name].shape != tensor.shape:
            here, there = tuple(tensor.shape), tuple(given[name].shape)
            fresh.append(f"{name}: {here} here, {there} there")
        else:
            tensor.copy_(given[name])
            copied.append(name)
    if not copied or (_is_folded(model) and fresh):
        what = "not all" if copied else "no tensor"
        raise UsageError(
            "\n  ".join([f"{what} of {source} fits {type(model).__name__}", *fresh])
            + "\n  choose a net of the recipe's architecture and width"
        )
    return WarmStart(source, sha256, copied, fresh)


def _in_the_form_of(model: nn.Module, source: str) -> tuple[nn.Module, str]:
    """A trained net in the form and normalisation that the model has, and its file's hash."""
    trained, sha256 = find_trained(source)
    if _is_folded(model):
        return (published_form(trained) if isinstance(trained, Net) else trained), sha256
    if isinstance(trained, Net) and trained.folded:
        card: Any = trained.card
        trained = unfold(trained, card.mean, card.std)
    if isinstance(trained, Net) and isinstance(model, Net):
        trained = _normalized_as(model, trained)
    return trained, sha256


def _read_otherwise(model: nn.Module, trained: nn.Module) -> set[str]:
    """Names of the model's tensors that read pixels, where the nets prepare these differently.

    A stem or a crop has no tensors, and others of as many features have other meanings.
    """
    if not (isinstance(model, Net) and isinstance(trained, Net)):
        return set()
    front, first = _front(model)
    if front == _front(trained)[0]:
        return set()
    return {name for name, _ in model.named_parameters() if name.startswith(f"layers.{first}.")}


def _front(net: Net) -> tuple[Description, str]:
    """What comes before the first layer with weights, its Normalize apart, and that one's name."""
    front: list[nn.Module] = []
    for name, layer in net.layers.named_children():
        if list(layer.parameters()):
            return describe(nn.Sequential(*front)), name
        if not isinstance(layer, Normalize):
            front.append(layer)
    raise AssertionError("every net has a layer with weights")


def _normalized_as(model: Net, trained: Net) -> Net:
    """The same function of raw pixels as `trained`, in the normalisation of `model`."""
    same = (trained.mean, trained.std) == (model.mean, model.std)
    if same or len(trained.mean) != len(model.mean):
        return trained  # with other channels the first layer is not taken over anyway
    return unfold(fold(trained), model.mean, model.std)


def _fixed(model: nn.Module) -> set[str]:
    """Names of the tensors that belong to the data or the recipe and not to what was learned."""
    if _is_folded(model):
        return set()
    return {
        f"{name}.{key}"
        for name, layer in model.named_modules()
        if isinstance(layer, Normalize | SortDistLinear)
        for key, _ in layer.named_buffers()
    }


def _is_folded(model: nn.Module) -> bool:
    """Whether it is a published form that is trained on."""
    return isinstance(model, Net) and model.folded
