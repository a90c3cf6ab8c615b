"""Fold: absorb normalisation and mean shifts into the weights, and back.

Distances and linear layers are positively homogeneous: dist(x / s, w) = dist(x, s * w) / s. So the
training net in normalised pixels equals 1/s times a net in raw pixels, and its decisions and margin
tests are those of the folded net with L = 1. Behind a tanh nothing is homogeneous any more, so the
first layer of a head takes the factor back, and its outputs are the same.

Shapes: I in features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.layers import Concat, MeanShift, Normalize, Residual, ScaledLinear
from zoo.models.fold_layers import Place, absorb, release
from zoo.models.net import Net

AnyNet = TypeVar("AnyNet", bound=Net)


@torch.no_grad()
def fold(model: AnyNet) -> AnyNet:
    """The published form: raw [0, 1] pixels in, no Normalize, no running mean; logits times std.

    Behind a head logits stay the same. Layer by layer in float64, rounded once
    (zoo.models.fold_layers). What is published and certified is the rounded result: the rounding is
    not an error term.

    A net that is not foldable stays as it is, its Normalize in the file.
    """
    if model.folded:
        raise UsageError("this net is already folded")
    folded = _another(model, folded=True)
    if not model.foldable:
        folded.load_state_dict(model.state_dict())
        return folded.eval()
    for trained, new, place in zip(
        _weighted(model), _weighted(folded), _places(model), strict=True
    ):
        absorb(trained, new, place)
    return folded.eval()


def published_form(model: AnyNet) -> AnyNet:
    """The net itself in eval mode where it is folded, `fold` of it otherwise."""
    return model.eval() if model.folded else fold(model)


@torch.no_grad()
def unfold(model: AnyNet, mean: float | Sequence[float], std: float) -> AnyNet:
    """The training form of a folded net: W_1 = (W_1' - m) / s, running mean = -c' / s.

    It comes in train mode, as what follows is training.

    Args:
        mean, std: the normalisation that was folded in (the card keeps it), in pixel units.

    Raises:
        UsageError: a net that is not folded, or has no training form of this normalisation.
    """
    if not model.folded:
        raise UsageError("this net is not folded")
    for argument, kind in (("edges", "a pruned net"), ("members", "an average")):
        if argument in model.config:
            raise UsageError(
                f"{kind} has no training form\n"
                "  train it on as it is, with model.folded: true, or start from a net it came from"
            )
    unfolded = _another(model, mean=mean, std=std)
    if not model.foldable:
        unfolded.load_state_dict(_normalized_alike(model, unfolded))
        return unfolded
    for new, folded, place in zip(
        _weighted(unfolded), _weighted(model), _places(unfolded), strict=True
    ):
        release(new, folded, place)
    return unfolded


def _normalized_alike(model: Net, other: Net) -> dict[str, Tensor]:
    """The state of a net for one that prepares pixels alike; no weights make up for another way."""
    given, wanted = model.state_dict(), other.state_dict()
    for name in ("layers.normalize.mean_C", "layers.normalize.std"):
        if not torch.equal(given[name], wanted[name]):
            raise UsageError(
                f"{type(model).__name__} keeps the normalisation that it was trained with\n"
                f"  {name} is {given[name].tolist()} there: give it as model.mean or model.std"
            )
    return given


def _another(model: AnyNet, **form: Any) -> AnyNet:
    """A net of the same sizes and dtype in another form."""
    return type(model)(**model.arguments, **form).to(next(model.parameters()))


def _leaves(model: Net) -> list[nn.Module]:
    """All layers in a row; branches side by side, which have no weights, count as one."""

    def within(layer: nn.Module) -> list[nn.Module]:
        if isinstance(layer, Residual):  # a shift of its input would count twice
            raise UsageError("no way to fold a Residual")
        parts = [] if isinstance(layer, Concat) else list(layer.children())
        return [leaf for part in parts for leaf in within(part)] if parts else [layer]

    return within(model.layers)


def _has_weights(layer: nn.Module) -> bool:
    return bool(list(layer.parameters(recurse=False)))


def _weighted(model: Net) -> list[nn.Module]:
    return [layer for layer in _leaves(model) if _has_weights(layer)]


def _places(model: Net) -> Iterator[Place]:
    """Where each layer with weights stands in a training net.

    The first layer sees an image of channel means where it saw 0, the others no such shift.
    """
    normalize = next(layer for layer in model.layers if isinstance(layer, Normalize))
    scale, mean_C = normalize.std.double(), normalize.mean_C.double()
    x: Tensor | None = mean_C[None, :, None, None].expand(1, *model.input_shape)
    for layer, following in pairwise([*_leaves(model), None]):
        assert layer is not None
        if _has_weights(layer):
            behind = following if isinstance(following, MeanShift) else None
            yield Place(scale, 0.0 if x is None else x[0], behind)
            x = None
            scale = torch.ones_like(scale) if isinstance(layer, ScaledLinear) else scale
        elif x is not None and not isinstance(layer, Normalize):
            x = layer(x)
