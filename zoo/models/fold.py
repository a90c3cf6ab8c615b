"""Fold: absorb normalisation and mean shifts into the weights, and back.

Distances are positively homogeneous: dist(x / s, w) = dist(x, s * w) / s. So the training net in
normalised pixels equals 1/s times a net in raw pixels with weights s * w, and its decisions and
margin tests are those of the folded net with L = 1. Linear layers are homogeneous too, with s * b.

Shapes: I in features, O out features, C/H/W image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import singledispatch
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.layers import Concat, LinfLinear, LpDist, MeanShift, Normalize
from zoo.models.net import Net
from zoo.rounding import contracted

AnyNet = TypeVar("AnyNet", bound=Net)


@torch.no_grad()
def fold(model: AnyNet) -> AnyNet:
    """The published form: raw [0, 1] pixels in, no Normalize, no running mean; logits times std.

    Distances: W_1' = s * W_1 + m, W_l' = s * W_l, c_l' = s * (b_l - running mean_l), in float64,
    rounded once. Linear layers: V stays, b_1' = s * b_1 - V_1 m, b_l' = s * b_l.
    What is published and certified is the rounded result: the rounding is not an error term.
    """
    if model.folded:
        raise UsageError("this net is already folded")
    std = _normalize(model).std.double()
    folded = _another(model, folded=True)
    for (old, shift), (new, _), mean_I in zip(
        _weighted(model), _weighted(folded), _input_means(model), strict=True
    ):
        absorb(new, old, shift, std, mean_I)
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
    for argument, kind in (("edges", "a pruned net"), ("members", "an average")):
        if argument in model.config:
            raise UsageError(f"{kind} has no training form: start from a net it came from")
    unfolded = _another(model, mean=mean, std=std)
    scale = _normalize(unfolded).std.double()
    for (old, _), (new, shift), mean_I in zip(
        _weighted(model), _weighted(unfolded), _input_means(unfolded), strict=True
    ):
        release(new, old, shift, scale, mean_I)
    return unfolded


@singledispatch
def absorb(
    new: nn.Module, old: nn.Module, shift: MeanShift | None, std: Tensor, mean_I: Tensor | float
) -> None:
    """Fill a layer of the folded net from that of the training net and the MeanShift behind it.

    Args:
        std: what Normalize divides by; the folded layer's inputs are that many times larger.
        mean_I: what the folded layer's inputs have been shifted by beside that.
    """
    raise UsageError(f"no way to fold a {type(old).__name__}")


@singledispatch
def release(
    new: nn.Module, old: nn.Module, shift: MeanShift | None, std: Tensor, mean_I: Tensor | float
) -> None:
    """The inverse of `absorb`: fill a layer of the training net, and the MeanShift behind it."""
    raise UsageError(f"no way to unfold a {type(old).__name__}")


@absorb.register
def _(
    new: LpDist, old: LpDist, shift: MeanShift | None, std: Tensor, mean_I: Tensor | float
) -> None:
    new.weight.copy_(std * old.weight.double() + mean_I)
    bias_O = torch.zeros(len(old.weight)).to(std) if old.bias is None else old.bias.double()
    mean_O = 0.0 if shift is None else shift.running_mean_O.double()
    _bias(new).copy_(std * (bias_O - mean_O))
    new.p = old.p


@release.register
def _(
    new: LpDist, old: LpDist, shift: MeanShift | None, std: Tensor, mean_I: Tensor | float
) -> None:
    new.weight.copy_((old.weight.double() - mean_I) / std)
    if shift is None:
        _bias(new).copy_(_bias(old).double() / std)
    else:
        shift.running_mean_O.copy_(-_bias(old).double() / std)
    new.p = old.p


@absorb.register
def _(
    new: nn.Linear, old: LinfLinear, shift: MeanShift | None, std: Tensor, mean_I: Tensor | float
) -> None:
    # SOUND: divided in float64 and rounded towards 0, so that no row's norm is above 1.
    new.weight.copy_(contracted(old.weight, new.weight.dtype))
    new.bias.copy_(std * old.bias.double() - _image(new.weight, mean_I))


@release.register
def _(
    new: LinfLinear, old: nn.Linear, shift: MeanShift | None, std: Tensor, mean_I: Tensor | float
) -> None:
    new.weight.copy_(old.weight)
    new.bias.copy_((old.bias.double() + _image(old.weight, mean_I)) / std)


def _image(weight_OI: Tensor, mean_I: Tensor | float) -> Tensor | float:
    """What a linear layer makes of a shift of its inputs."""
    return weight_OI.double() @ mean_I if isinstance(mean_I, Tensor) else 0.0


def _bias(layer: LpDist) -> nn.Parameter:
    assert layer.bias is not None
    return layer.bias


def _another(model: AnyNet, **form: Any) -> AnyNet:
    """A net of the same sizes and dtype in another form."""
    return type(model)(**model.arguments, **form).to(next(model.parameters()))


def _normalize(model: Net) -> Normalize:
    return next(layer for layer in model.layers if isinstance(layer, Normalize))


def _leaves(model: Net) -> list[nn.Module]:
    """All layers in a row; branches side by side, which have no weights, count as one."""

    def within(layer: nn.Module) -> list[nn.Module]:
        parts = [] if isinstance(layer, Concat) else list(layer.children())
        return [leaf for part in parts for leaf in within(part)] if parts else [layer]

    return within(model.layers)


def _weighted(model: Net) -> Iterator[tuple[nn.Module, MeanShift | None]]:
    """Each layer with weights, and the MeanShift behind it, if there is one."""
    for layer, following in pairwise([*_leaves(model), None]):
        if layer is not None and list(layer.parameters(recurse=False)):
            yield layer, following if isinstance(following, MeanShift) else None


def _input_means(model: Net) -> Iterator[Tensor | float]:
    """For each layer with weights, what its inputs gain as raw pixels replace normalised ones.

    The first layer sees an image of channel means where it saw 0; the others see no such shift.
    """
    mean_C = _normalize(model).mean_C.double()
    x = mean_C[None, :, None, None].expand(1, *model.input_shape)
    for layer in _leaves(model):
        if list(layer.parameters(recurse=False)):
            yield x[0]
            break
        if not isinstance(layer, Normalize):
            x = layer(x)
    yield from [0.0] * (sum(1 for _ in _weighted(model)) - 1)
