"""How each kind of layer is folded, and unfolded; a new kind of layer adds its two rules here.

With s what Normalize divides by and m what it subtracts:

    distances       W_1' = s W_1 + m, W_l' = s W_l, c' = s (b - running mean); borders as inputs
    linear layers   V' = V, b_1' = s b_1 - V_1 m, b_l' = s b_l (gain at most 1, LinfLinear)
    heads           W_1' = W_1 / s, all else as it is (ScaledLinear; its scale goes into W')

Shapes: I in features, O out features, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from einops import rearrange
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.layers import (
    LinfLinear,
    LpDist,
    LpDistConv2d,
    MeanShift,
    ScaledLinear,
    SortDistLinear,
)
from zoo.rounding import contracted


@dataclass(frozen=True)
class Place:
    """Where a layer stands in a training net.

    Attributes:
        scale: in the folded net its inputs are that many times larger: s, or 1 inside a head.
        mean_I: what they are shifted by beside that: the image of channel means, or 0.
        shift: the MeanShift behind the layer, if there is one.
    """

    scale: Tensor
    mean_I: Tensor | float
    shift: MeanShift | None

    @property
    def running_mean_O(self) -> Tensor | float:
        """What the MeanShift subtracts."""
        return 0.0 if self.shift is None else self.shift.running_mean_O.double()


@singledispatch
def absorb(trained: nn.Module, folded: nn.Module, place: Place) -> None:
    """Fill a layer of the folded net from that of the training net."""
    raise UsageError(f"no way to fold a {type(trained).__name__}")


@singledispatch
def release(trained: nn.Module, folded: nn.Module, place: Place) -> None:
    """Fill a layer of the training net, and the MeanShift behind it, from the folded net's."""
    raise UsageError(f"no way to unfold a {type(trained).__name__}")


@absorb.register
def _absorb_distance(trained: LpDist, folded: LpDist, place: Place) -> None:
    folded.weight.copy_(place.scale * trained.weight.double() + _of_weight(trained, place))
    bias_O = 0.0 if trained.bias is None else trained.bias.double()
    _bias(folded).copy_(place.scale * (bias_O - place.running_mean_O))
    folded.p = trained.p


@release.register
def _release_distance(trained: LpDist, folded: LpDist, place: Place) -> None:
    trained.weight.copy_((folded.weight.double() - _of_weight(trained, place)) / place.scale)
    bias_O = _bias(folded).double() / place.scale
    if place.shift is None:
        _bias(trained).copy_(bias_O)
    else:
        place.shift.running_mean_O.copy_(-bias_O)
    trained.p = folded.p


@absorb.register
def _(trained: LpDistConv2d, folded: LpDistConv2d, place: Place) -> None:
    _absorb_distance(trained, folded, place)
    border_C = place.scale * trained.pad_value_C.double()
    folded.pad_value_C.copy_(border_C + _of_channels(place))


@release.register
def _(trained: LpDistConv2d, folded: LpDistConv2d, place: Place) -> None:
    _release_distance(trained, folded, place)
    border_C = folded.pad_value_C.double() - _of_channels(place)
    trained.pad_value_C.copy_(border_C / place.scale)


@absorb.register
def _(trained: SortDistLinear, folded: SortDistLinear, place: Place) -> None:
    _absorb_distance(trained, folded, place)
    folded.order_K.copy_(trained.order_K)


@release.register
def _(trained: SortDistLinear, folded: SortDistLinear, place: Place) -> None:
    _release_distance(trained, folded, place)
    trained.order_K.copy_(folded.order_K)


@absorb.register
def _(trained: LinfLinear, folded: nn.Linear, place: Place) -> None:
    # SOUND: divided in float64 and rounded towards 0, so that no row's norm is above 1.
    folded.weight.copy_(contracted(trained.weight, folded.weight.dtype))
    folded.bias.copy_(place.scale * trained.bias.double() - _image(folded.weight, place))


@release.register
def _(trained: LinfLinear, folded: nn.Linear, place: Place) -> None:
    trained.weight.copy_(folded.weight)
    trained.bias.copy_((folded.bias.double() + _image(folded.weight, place)) / place.scale)


@absorb.register
def _(trained: ScaledLinear, folded: nn.Linear, place: Place) -> None:
    folded.weight.copy_(trained.weight.double() * trained.scale / place.scale)
    shift_O = place.running_mean_O + _image(folded.weight, place)
    folded.bias.copy_(trained.bias.double() - shift_O)


@release.register
def _(trained: ScaledLinear, folded: nn.Linear, place: Place) -> None:
    trained.weight.copy_(folded.weight.double() * place.scale / trained.scale)
    trained.bias.copy_(folded.bias.double() + _image(folded.weight, place))


def _bias(layer: LpDist) -> nn.Parameter:
    assert layer.bias is not None
    return layer.bias


def _of_weight(layer: LpDist, place: Place) -> Tensor | float:
    """The shift of the layer's inputs, in the shape of its weights."""
    if isinstance(layer, LpDistConv2d) and isinstance(place.mean_I, Tensor):
        return rearrange(_of_channels(place), "c -> c 1 1")
    return place.mean_I


def _of_channels(place: Place) -> Tensor | float:
    """mean_C: each channel of an image is shifted alike."""
    return place.mean_I[:, 0, 0] if isinstance(place.mean_I, Tensor) else 0.0


def _image(weight_OI: Tensor, place: Place) -> Tensor | float:
    """What a linear layer makes of the shift of its inputs."""
    return weight_OI.double() @ place.mean_I if isinstance(place.mean_I, Tensor) else 0.0
