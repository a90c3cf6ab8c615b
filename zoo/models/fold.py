"""Fold: absorb normalisation and mean shifts into the weights, and back.

Distances are positively homogeneous: dist(x / s, w) = dist(x, s * w) / s. So the training net in
normalised pixels equals 1/s times a net in raw pixels with weights s * w, and its decisions and
margin tests are those of the folded net with L = 1. Behind a linear layer nothing is homogeneous
any more, so the first of them takes the factor back: W' = W / s, and its outputs are the same.

Shapes: I in features, O out features, C/H/W image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import singledispatch
from itertools import pairwise
from typing import Any, TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.layers import LpDist, LpDistConv2d, MeanShift, Normalize, ScaledLinear, SortDistLinear
from zoo.models.net import Net

AnyNet = TypeVar("AnyNet", bound=Net)


@torch.no_grad()
def fold(model: AnyNet) -> AnyNet:
    """The published form: raw [0, 1] pixels in, no Normalize, no running mean.

    W_1' = s * W_1 + m, W_l' = s * W_l, c_l' = s * (b_l - running mean_l), in float64, rounded once.
    Logits are s times as large; behind a head, whose W_1' is W_1 / s, they stay the same.
    What is published and certified is the rounded result: the rounding is not an error term.
    """
    if model.folded:
        raise UsageError("this net is already folded")
    folded = _another(model, folded=True)
    for (old, shift), (new, _), (scale, mean_I) in zip(
        _weighted(model), _weighted(folded), _inputs(model), strict=True
    ):
        absorb(new, old, shift, scale, mean_I)
    return folded.eval()


@torch.no_grad()
def unfold(model: AnyNet, mean: float | Sequence[float], std: float) -> AnyNet:
    """The training form of a folded net: W_1 = (W_1' - m) / s, running mean = -c' / s.

    It comes in train mode, as what follows is training.

    Args:
        mean, std: the normalisation that was folded in (the card keeps it), in pixel units.
    """
    if not model.folded:
        raise UsageError("this net is not folded")
    if "edges" in model.config:
        raise UsageError("a pruned net has no training form: start from the net it came from")
    unfolded = _another(model, mean=mean, std=std)
    for (old, _), (new, shift), (scale, mean_I) in zip(
        _weighted(model), _weighted(unfolded), _inputs(unfolded), strict=True
    ):
        release(new, old, shift, scale, mean_I)
    return unfolded


@singledispatch
def absorb(
    new: nn.Module, old: nn.Module, shift: MeanShift | None, scale: Tensor, mean_I: Tensor | float
) -> None:
    """Fill a layer of the folded net from that of the training net and the MeanShift behind it.

    Args:
        scale: the folded layer's inputs are that many times larger: what Normalize divides by, or 1
            behind a linear layer.
        mean_I: what the folded layer's inputs have been shifted by beside that.
    """
    raise UsageError(f"no way to fold a {type(old).__name__}")


@singledispatch
def release(
    new: nn.Module, old: nn.Module, shift: MeanShift | None, scale: Tensor, mean_I: Tensor | float
) -> None:
    """The inverse of `absorb`: fill a layer of the training net, and the MeanShift behind it."""
    raise UsageError(f"no way to unfold a {type(old).__name__}")


@absorb.register
def _absorb_distance(
    new: LpDist, old: LpDist, shift: MeanShift | None, scale: Tensor, mean_I: Tensor | float
) -> None:
    new.weight.copy_(scale * old.weight.double() + mean_I)
    bias_O = torch.zeros(len(old.weight)).to(scale) if old.bias is None else old.bias.double()
    _bias(new).copy_(scale * (bias_O - _running_mean(shift)))
    new.p = old.p


@release.register
def _release_distance(
    new: LpDist, old: LpDist, shift: MeanShift | None, scale: Tensor, mean_I: Tensor | float
) -> None:
    new.weight.copy_((old.weight.double() - mean_I) / scale)
    if shift is None:
        _bias(new).copy_(_bias(old).double() / scale)
    else:
        shift.running_mean_O.copy_(-_bias(old).double() / scale)
    new.p = old.p


@absorb.register
def _(
    new: LpDistConv2d,
    old: LpDistConv2d,
    shift: MeanShift | None,
    scale: Tensor,
    mean_I: Tensor | float,
) -> None:
    mean_C = _of_channels(mean_I, new)
    _absorb_distance(new, old, shift, scale, rearrange(mean_C, "c -> c 1 1"))
    new.pad_value_C.copy_(scale * old.pad_value_C.double() + mean_C)


@release.register
def _(
    new: LpDistConv2d,
    old: LpDistConv2d,
    shift: MeanShift | None,
    scale: Tensor,
    mean_I: Tensor | float,
) -> None:
    mean_C = _of_channels(mean_I, new)
    _release_distance(new, old, shift, scale, rearrange(mean_C, "c -> c 1 1"))
    new.pad_value_C.copy_((old.pad_value_C.double() - mean_C) / scale)


@absorb.register
def _(
    new: nn.Linear,
    old: ScaledLinear,
    shift: MeanShift | None,
    scale: Tensor,
    mean_I: Tensor | float,
) -> None:
    weight_OI = old.weight.double() * old.scale / scale
    new.weight.copy_(weight_OI)
    new.bias.copy_(old.bias.double() - _running_mean(shift) - (weight_OI * mean_I).sum(1))


@release.register
def _(
    new: ScaledLinear,
    old: nn.Linear,
    shift: MeanShift | None,
    scale: Tensor,
    mean_I: Tensor | float,
) -> None:
    weight_OI = old.weight.double()
    new.weight.copy_(weight_OI * scale / new.scale)
    new.bias.copy_(old.bias.double() + (weight_OI * mean_I).sum(1))


def _bias(layer: LpDist) -> nn.Parameter:
    assert layer.bias is not None
    return layer.bias


def _running_mean(shift: MeanShift | None) -> Tensor | float:
    return 0.0 if shift is None else shift.running_mean_O.double()


def _of_channels(mean_I: Tensor | float, layer: LpDistConv2d) -> Tensor:
    """mean_C: each channel of an image is shifted alike."""
    shifted = torch.zeros_like(layer.pad_value_C, dtype=torch.float64)
    return mean_I[:, 0, 0] if isinstance(mean_I, Tensor) else shifted


def _another(model: AnyNet, **form: Any) -> AnyNet:
    """A net of the same sizes and dtype in another form."""
    return type(model)(**model.arguments, **form).to(next(model.parameters()))


def _normalize(model: Net) -> Normalize:
    return next(layer for layer in model.layers if isinstance(layer, Normalize))


def _leaves(model: Net) -> list[nn.Module]:
    return [layer for layer in model.layers.modules() if not list(layer.children())]


def _weighted(model: Net) -> Iterator[tuple[nn.Module, MeanShift | None]]:
    """Each layer with weights, and the MeanShift behind it, if there is one."""
    for layer, following in pairwise([*_leaves(model), None]):
        if layer is not None and list(layer.parameters(recurse=False)):
            yield layer, following if isinstance(following, MeanShift) else None


def _inputs(model: Net) -> Iterator[tuple[Tensor, Tensor | float]]:
    """For each layer with weights of a training net, how its inputs change as pixels become raw.

    They grow by the first, std up to the first linear layer and 1 behind it, and then gain the
    second: the first layer sees an image of channel means where it saw 0, the others no such shift.
    """
    normalize = _normalize(model)
    scale, mean_C = normalize.std.double(), normalize.mean_C.double()
    x = mean_C[None, :, None, None].expand(1, *model.input_shape)
    first = True
    for layer in _leaves(model):
        if list(layer.parameters(recurse=False)):
            yield scale, x[0] if first else 0.0
            first = False
            scale = torch.ones_like(scale) if isinstance(layer, ScaledLinear) else scale
        elif first and not isinstance(layer, Normalize):
            x = layer(x)
