"""LpDist: layers whose neurons are l_p distances, fully connected and convolutional.

Shapes: B batch, I in features, O out features, C/H/W image, h/w kernel, N rows (B, or B * L for L
positions of a kernel).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.layers.distance import distance_drift, line_below
from zoo.ops import linf_dist_bounds, lp_dist
from zoo.ops.linf_dist_bounds import linf_dist_nearest
from zoo.rounding import FLUSH, NAIVE, REAL, Ends, Reading
from zoo.rules import Rounded, describe, drift, forward_error, interval, obstacle
from zoo.rules.describe import Description
from zoo.rules.picks import Picks, enter_picks

# Where a unit starts as the identity, one weight lies this far from any normalised input, so that
# |x_i + 10| = x_i + 10 wins the maximum (reference implementation of arXiv:2110.06850).
IDENTITY_OFFSET = -10.0


class LpDist(nn.Module, ABC):
    """y_o = ||x - w_o||_p + b_o (Zhang et al. 2021, arXiv:2102.05363, Eq. 3).

    1-Lipschitz from l_inf to l_inf at p = inf; at finite p only I^(1/p)-Lipschitz, so nothing is
    certified there. Weights start standard normal.

    Attributes:
        p: the exponent; training raises it, inf is the published net.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, weight_shape: tuple[int, ...], *, bias: bool, identity: bool):
        super().__init__()
        self.p = math.inf
        self.weight = nn.Parameter(torch.randn(weight_shape))
        self.bias = nn.Parameter(torch.zeros(weight_shape[0])) if bias else None
        num_out, num_in = weight_shape[:2]
        if identity and num_in <= num_out:
            centre = tuple(size // 2 for size in weight_shape[2:])
            out = torch.arange(num_out)
            with torch.no_grad():
                self.weight[(out, out % num_in, *centre)] = IDENTITY_OFFSET

    @property
    def weight_OI(self) -> Tensor:
        """The weights as rows, whatever the layer's kernel shape."""
        return rearrange(self.weight, "o ... -> o (...)")

    @abstractmethod
    def rows(self, x: Tensor, border: float | None = None) -> Tensor:
        """The layer's input as rows x_NI, one for each distance vector that is computed.

        Args:
            border: stands beyond the input, where a row reaches that far; the layer's own by
                default.
        """

    @abstractmethod
    def unrows(self, y_NO: Tensor, x: Tensor) -> Tensor:
        """Rows of distances in the shape of the layer's output for input x."""

    def shift(self, y_NO: Tensor) -> Tensor:
        """Distances plus bias."""
        return y_NO if self.bias is None else y_NO + self.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.unrows(self.shift(lp_dist(self.rows(x), self.weight_OI, self.p)), x)

    def extra_repr(self) -> str:
        return f"{list(self.weight.shape)}, bias={self.bias is not None}, p={self.p:g}"


class LpDistLinear(LpDist):
    """Fully connected distance layer, (B, I) to (B, O).

    Args:
        bias: add a trainable b_o (otherwise 0; a MeanShift follows).
        identity: start as y_o = x_(o mod I) up to a constant, where I <= O.
    """

    def __init__(self, num_in: int, num_out: int, *, bias: bool = False, identity: bool = False):
        super().__init__((num_out, num_in), bias=bias, identity=identity)

    def rows(self, x: Tensor, border: float | None = None) -> Tensor:
        return x

    def unrows(self, y_NO: Tensor, x: Tensor) -> Tensor:
        return y_NO


class LpDistConv2d(LpDist):
    """Convolutional distance layer, (B, C, H, W) to (B, O, H', W'): a distance at each position.

    Args:
        kernel_size: side of the square kernel.
        stride, padding: as in torch.nn.Conv2d.
        bias: add a trainable b_o (otherwise 0; a MeanShift follows).
        identity: start as y_o = x_(o mod C) at the kernel's centre, up to a constant, where C <= O.
    """

    pad_value_C: Tensor

    def __init__(
        self,
        num_in: int,
        num_out: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
        identity: bool = False,
    ):
        for name, value in (("kernel_size", kernel_size), ("stride", stride), ("padding", padding)):
            if not isinstance(value, int):
                raise UsageError(f"LpDistConv2d: {name} must be one whole number, not {value!r}")
        shape = (num_out, num_in, kernel_size, kernel_size)
        super().__init__(shape, bias=bias, identity=identity)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        # 0 behind a Normalize; folding it away turns the value of the border into its mean.
        self.register_buffer("pad_value_C", torch.zeros(num_in))

    def rows(self, x: Tensor, border: float | None = None) -> Tensor:
        pad, (_, _, height, width) = self.padding, x.shape
        if pad:
            value_C = self.pad_value_C
            value_C = value_C if border is None else torch.full_like(value_C, border)
            border_C11 = rearrange(value_C, "c -> c 1 1").to(x.dtype)
            framed = F.pad(x, (pad, pad, pad, pad))
            inside_HW = F.pad(torch.ones(height, width, device=x.device), (pad, pad, pad, pad))
            x = torch.where(inside_HW > 0, framed, border_C11)
        patches = F.unfold(x, self.kernel_size, stride=self.stride)
        return rearrange(patches, "b i l -> (b l) i")

    def unrows(self, y_NO: Tensor, x: Tensor) -> Tensor:
        height = (x.shape[2] + 2 * self.padding - self.kernel_size) // self.stride + 1
        width = (x.shape[3] + 2 * self.padding - self.kernel_size) // self.stride + 1
        return rearrange(y_NO, "(b h w) o -> b o h w", h=height, w=width)


@obstacle.register
def finite_exponent(layer: LpDist) -> str | None:
    """What every kind of distance has in its way, and more by rules of its own."""
    if layer.p == math.inf:
        return None
    return f"it runs at p = {layer.p:g}, where it is not 1-Lipschitz; set model.p = math.inf"


def _check_infinite(layer: LpDist) -> None:
    reason = obstacle(layer)
    if reason is not None:
        raise UsageError(f"{type(layer).__name__} has no bounds: {reason}")


@interval.register(LpDistLinear, LpDistConv2d)
def _(layer: LpDist, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    _check_infinite(layer)
    ends_NO = linf_dist_bounds(layer.rows(lower), layer.rows(upper), layer.weight_OI)
    lower_NO, upper_NO = reading.step(*ends_NO)
    lower_NO = lower_NO.clamp_min(0)  # a distance is never negative, so 0 needs no widening
    if layer.bias is not None:
        lower_NO, upper_NO = reading.step(layer.shift(lower_NO), layer.shift(upper_NO))
    return layer.unrows(lower_NO, lower), layer.unrows(upper_NO, upper)


@forward_error.register(LpDistLinear, LpDistConv2d)
def _(layer: LpDist, x: Rounded, unit: float) -> Rounded:
    _check_infinite(layer)
    z_NO = lp_dist(layer.rows(x.value), layer.weight_OI, layer.p)
    z, y = layer.unrows(z_NO, x.value), layer.unrows(layer.shift(z_NO), x.value)
    # A maximum of correctly rounded differences is the correctly rounded distance, whatever the
    # fan-in or the order; the exact layer passes the largest input error on with gain 1.
    incoming_B = reduce(x.error.expand_as(x.value), "b ... -> b", "max")
    error = incoming_B[(slice(None), *[None] * (z.ndim - 1))] + unit * z.double() + FLUSH
    if layer.bias is None:
        return x.after(y, error, 1)
    return x.after(y, error + unit * y.double().abs() + FLUSH, 2)


@enter_picks(LpDistLinear, LpDistConv2d)
def _(layer: LpDist, ends: Ends, rigorous: bool) -> Picks:
    """From below |x_i - w_i| for the i that is farthest at its nearest; the upper end from above.

    In a convolution's border |x_i - w_i| is a number.
    """
    _check_infinite(layer)
    reading, (lower, upper) = REAL if rigorous else NAIVE, ends
    low_NI, high_NI = layer.rows(lower), layer.rows(upper)
    at_NO = linf_dist_nearest(low_NI, high_NI, layer.weight_OI)
    w_NO = layer.weight_OI.gather(1, at_NO.T).T
    low_NO = low_NI.gather(1, at_NO)
    slope, offset = line_below(w_NO, low_NO, high_NI.gather(1, at_NO))
    entry_NO = _entries(layer, lower, at_NO)
    outside = entry_NO < 0
    # SOUND: where both ends are the border's value, the line there is the distance from it.
    fixed, _ = reading.step(slope * low_NO + offset, offset)
    slope, offset = slope.masked_fill(outside, 0), torch.where(outside, fixed, offset)
    # SOUND: an offset is rounded once more, there where it meets a bias.
    offset, _ = reading.step(layer.shift(offset), offset)
    _, highest = interval(layer, lower, upper, reading)
    at, slope, offset = (
        layer.unrows(each, lower).flatten(1) for each in (entry_NO.clamp_min(0), slope, offset)
    )
    return Picks(at, slope, offset, torch.zeros_like(slope), highest.flatten(1))


def _entries(layer: LpDist, x: Tensor, at_NO: Tensor) -> Tensor:
    """Which entries of one flattened input the places in its rows are; -1 in a border."""
    # In float64, which holds them exactly and which rows are made of.
    shape = x.shape[1:]
    place = torch.arange(shape.numel(), dtype=torch.float64, device=x.device).view(1, *shape)
    place_LI = layer.rows(place, border=-1.0).long()
    row_N1 = torch.arange(len(at_NO), device=x.device)[:, None] % len(place_LI)
    return place_LI[row_N1, at_NO]


@drift.register(LpDistLinear, LpDistConv2d)
def _(
    layer: LpDist, errors: Sequence[Tensor], ends: Sequence[Ends], program: torch.dtype
) -> Tensor:
    _check_infinite(layer)
    # SOUND: any entry of a row may be the one that counts; a border is exact.
    incoming_N1 = reduce(layer.rows(errors[0], border=0.0), "n i -> n 1", "max")
    lower, upper = ends[0]
    _, farthest_NO = linf_dist_bounds(layer.rows(lower), layer.rows(upper), layer.weight_OI)
    return layer.unrows(distance_drift(incoming_N1, farthest_NO, layer.bias, program), errors[0])


@describe.register(LpDistLinear)
def _(layer: LpDistLinear, name: str = "") -> Description:
    _check_infinite(layer)
    return [{"kind": "linf_dist", "name": name}]


@describe.register(LpDistConv2d)
def _(layer: LpDistConv2d, name: str = "") -> Description:
    _check_infinite(layer)
    # Beside weight and bias, pad_value_C: what stands in the border.
    shape: dict[str, str | int] = {"stride": layer.stride, "padding": layer.padding}
    return [{"kind": "linf_dist_conv2d", "name": name} | shape]
