"""Fold: absorb normalisation and mean shifts into the weights, and back.

A distance net is positively homogeneous: dist(x / s, w) = dist(x, s * w) / s. So the training net
in normalised pixels equals 1/s times a net in raw pixels with weights s * w, and its decisions and
margin tests are those of the folded net with L = 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.layers import LpDist, MeanShift, Normalize
from zoo.models.linf_dist_mlp import LinfDistMLP


@torch.no_grad()
def fold(model: LinfDistMLP) -> LinfDistMLP:
    """The published form: raw [0, 1] pixels in, no Normalize, no running mean; logits times std.

    W_1' = s * W_1 + m, W_l' = s * W_l, c_l' = s * (b_l - running mean_l), in float64, rounded once.
    What is published and certified is the rounded result: the rounding is not an error term.
    """
    if model.folded:
        raise UsageError("this net is already folded")
    normalize = next(layer for layer in model.layers if isinstance(layer, Normalize))
    std = normalize.std.double()
    folded = LinfDistMLP(depth=_depth(model), **model.config, folded=True).to(_first(model).weight)
    for new, (old, shift) in zip(_dists(folded), _with_shifts(model), strict=True):
        offset = _input_mean(normalize.mean_C, model) if old is _first(model) else 0.0
        new.weight.copy_(std * old.weight.double() + offset)
        bias_O = torch.zeros(len(old.weight)).to(std) if old.bias is None else old.bias.double()
        mean_O = 0.0 if shift is None else shift.running_mean_O.double()
        _bias(new).copy_(std * (bias_O - mean_O))
    folded.p = model.p
    return folded.eval()


@torch.no_grad()
def unfold(model: LinfDistMLP, mean: float | Sequence[float], std: float) -> LinfDistMLP:
    """The training form of a folded net: W_1 = (W_1' - m) / s, running mean = -c' / s.

    It comes in train mode, as what follows is training.

    Args:
        mean, std: the normalisation that was folded in (the card keeps it), in pixel units.
    """
    if not model.folded:
        raise UsageError("this net is not folded")
    if "edges" in model.config:
        raise UsageError("a pruned net has no training form: start from the net it came from")
    unfolded = LinfDistMLP(depth=_depth(model), **model.config, mean=mean, std=std)
    unfolded = unfolded.to(_first(model).weight)
    normalize = next(layer for layer in unfolded.layers if isinstance(layer, Normalize))
    scale = normalize.std.double()
    for (new, shift), old in zip(_with_shifts(unfolded), _dists(model), strict=True):
        offset = _input_mean(normalize.mean_C, model) if old is _first(model) else 0.0
        new.weight.copy_((old.weight.double() - offset) / scale)
        if shift is None:
            _bias(new).copy_(_bias(old).double() / scale)
        else:
            shift.running_mean_O.copy_(-_bias(old).double() / scale)
    unfolded.p = model.p
    return unfolded


def _dists(model: LinfDistMLP) -> list[LpDist]:
    return [layer for layer in model.layers if isinstance(layer, LpDist)]


def _depth(model: LinfDistMLP) -> int:
    return len(_dists(model))


def _first(model: LinfDistMLP) -> LpDist:
    return _dists(model)[0]


def _with_shifts(model: LinfDistMLP) -> Iterator[tuple[LpDist, MeanShift | None]]:
    """Each distance layer with the MeanShift behind it, if there is one."""
    layers: list[nn.Module] = list(model.layers)
    for layer, following in pairwise(layers):
        if isinstance(layer, LpDist):
            yield layer, following if isinstance(following, MeanShift) else None


def _bias(layer: LpDist) -> nn.Parameter:
    assert layer.bias is not None
    return layer.bias


def _input_mean(mean_C: Tensor, model: LinfDistMLP) -> Tensor:
    """The channel means, repeated for every pixel of a flattened image."""
    _, height, width = model.input_shape
    return mean_C.double().repeat_interleave(height * width)
