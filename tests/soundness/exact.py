"""What a net computes in rational arithmetic: no rounding, no order, no opinion.

Shapes: B batch, I in features, O out features, C/H/W image.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from torch import nn

from tests import oracles
from zoo.layers import (
    Average,
    CenterCrop,
    Channels,
    Concat,
    Crops,
    Flip,
    HalfDifference,
    HalfSum,
    Join,
    LinfLinear,
    LocalMax,
    LocalMin,
    LpDistConv2d,
    LpDistLinear,
    MaxMin,
    MeanShift,
    Negate,
    Normalize,
    PrunedLinfDistLinear,
    Residual,
    ScaledLinear,
    Shift,
    SortDistLinear,
)
from zoo.models import Net


def forward(layer: nn.Module, x: np.ndarray) -> np.ndarray:
    """The layer's function on an object array of Fractions."""
    match layer:
        case Net():
            return forward(layer.layers, x)
        case nn.Sequential():
            for child in layer:
                x = forward(child, x)
            return x
        case Normalize():
            mean = oracles.exactly(layer.mean_C).reshape(-1, 1, 1)
            return (x - mean) / Fraction(layer.std.item())
        case nn.Flatten():
            return x.reshape(len(x), -1)
        case nn.Identity() | nn.Dropout():
            return x
        case Residual():
            return forward(layer.body, x) + forward(layer.skip, x)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return oracles.batch_norm(layer, x)
        case nn.MaxPool2d() | nn.AvgPool2d() | nn.AdaptiveAvgPool2d():
            return oracles.pooled(layer, x)
        case MeanShift():
            return x - oracles.exactly(layer.running_mean_O).reshape(-1, *[1] * (x.ndim - 2))
        case Negate():
            return -x
        case nn.ReLU():
            return np.maximum(x, Fraction(0))
        case nn.Tanh():
            return np.frompyfunc(oracles.tanh, 1, 1)(x)
        case LpDistConv2d():
            border = oracles.exactly(layer.pad_value_C)
            y = oracles.linf_conv(x, _weight(layer), layer.stride, layer.padding, border)
            return y + _bias(layer).reshape(-1, 1, 1)
        case SortDistLinear():
            ends = oracles.order_dist_bounds(x, x, _weight(layer), oracles.exactly(layer.order_K))
            return ends[0] + _bias(layer)
        case LpDistLinear():
            return oracles.linf_dist(x, _weight(layer)) + _bias(layer)
        case PrunedLinfDistLinear():
            return _pruned(layer, x) + _bias(layer)
        case Average():
            share = Fraction(layer.share)
            return sum(share * forward(m, forward(view, x)) for view, m in layer.branches)
        case Concat():
            return np.concatenate([forward(branch, x) for branch in layer.branches], 1)
        case HalfSum():
            first, second = (x.take(range(i, x.shape[layer.dim], 2), layer.dim) for i in (0, 1))
            return (first + second) / 2
        case HalfDifference():
            return np.diff(x, axis=layer.dim) / 2
        case LocalMax() | LocalMin():
            best = np.max if type(layer) is LocalMax else np.min
            b, c, h, w = x.shape
            k = layer.size
            return best(x.reshape(b, c, h // k, k, w // k, k), (3, 5))
        case Channels():
            return x[:, layer.picked]
        case CenterCrop() | Crops() | Join():
            return oracles.cropped(layer, x)
        case Flip():
            return x[..., ::-1]
        case Shift():
            return oracles.shifted(x, layer.rows, layer.columns)
        case MaxMin():
            pairs = x.reshape(len(x), -1, 2)
            return np.stack([pairs.max(2), pairs.min(2)], 2).reshape(len(x), -1)
        case nn.Linear() | ScaledLinear() | LinfLinear():
            return x @ _weight(layer).T + _bias(layer)
        case nn.Conv2d():
            return _conv(layer, x, _weight(layer)) + _bias(layer).reshape(-1, 1, 1)
    raise AssertionError(f"no oracle for {type(layer).__name__}")


def interval(
    layer: nn.Module, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Layer by layer image of a box."""
    match layer:
        case Net():
            return interval(layer.layers, lower, upper)
        case nn.Sequential():
            for child in layer:
                lower, upper = interval(child, lower, upper)
            return lower, upper
        case SortDistLinear():
            order = oracles.exactly(layer.order_K)
            ends = oracles.order_dist_bounds(lower, upper, _weight(layer), order)
            return ends[0] + _bias(layer), ends[1] + _bias(layer)
        case LpDistLinear():
            ends = oracles.linf_dist_bounds(lower, upper, _weight(layer))
            return ends[0] + _bias(layer), ends[1] + _bias(layer)
        case Negate():
            return -upper, -lower
        case Residual():
            ends = (interval(branch, lower, upper) for branch in (layer.body, layer.skip))
            return tuple(sum(end) for end in zip(*ends, strict=True))
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            ends = forward(layer, lower), forward(layer, upper)
            return np.minimum(*ends), np.maximum(*ends)
        case Concat():
            ends = [interval(branch, lower, upper) for branch in layer.branches]
            return tuple(np.concatenate(end, 1) for end in zip(*ends, strict=True))
        case HalfDifference():
            gap = (upper - lower) / 2
            middle = forward(layer, (lower + upper) / 2)
            below, above = (gap.take(range(*part), layer.dim) for part in _neighbours(gap, layer))
            return middle - (below + above) / 2, middle + (below + above) / 2
        case Average():
            ends = [
                interval(member, *interval(view, lower, upper)) for view, member in layer.branches
            ]
            return tuple(Fraction(layer.share) * sum(end) for end in zip(*ends, strict=True))
        case nn.Linear() | ScaledLinear() | LinfLinear() | nn.Conv2d():
            return _affine_interval(layer, lower, upper)
        case LpDistConv2d() | PrunedLinfDistLinear():
            raise AssertionError(f"no oracle for the interval of {type(layer).__name__}")
    return forward(layer, lower), forward(layer, upper)


def margins(net: nn.Module, lower: np.ndarray, upper: np.ndarray, y_B: np.ndarray) -> np.ndarray:
    """Least f_y - f_k of a last linear layer over the image of a box under those before it."""
    layers = _flat(net)
    for layer in layers[:-1]:
        lower, upper = interval(layer, lower, upper)
    weight, bias = _weight(layers[-1]), _bias(layers[-1])
    rows = []
    for low_I, high_I, y in zip(lower, upper, y_B, strict=True):
        pair_KI = weight[y] - weight
        rising, falling = np.maximum(pair_KI, Fraction(0)), np.minimum(pair_KI, Fraction(0))
        rows.append(rising @ low_I + falling @ high_I + bias[y] - bias)
    return np.array(rows)


def _flat(net: nn.Module) -> list[nn.Module]:
    """Its layers in order, whatever they are nested in."""
    inside = net.layers if isinstance(net, Net) else net
    if not isinstance(inside, nn.Sequential):
        return [inside]
    return [leaf for layer in inside for leaf in _flat(layer)]


def worst_margin(net: nn.Module, x_CHW: np.ndarray, y: int) -> Fraction:
    """Smallest f_y - f_k of one image, exact."""
    logits_K = forward(net, x_CHW[None])[0]
    return min(logits_K[y] - logits_K[k] for k in range(len(logits_K)) if k != y)


def _neighbours(x: np.ndarray, layer: HalfDifference) -> tuple[tuple[int, int], tuple[int, int]]:
    size = x.shape[layer.dim]
    return (0, size - 1), (1, size)


def _weight(layer: nn.Module) -> np.ndarray:
    weight = oracles.exactly(layer.weight.detach())
    if isinstance(layer, LinfLinear):
        return weight / np.maximum(np.abs(weight).sum(1, keepdims=True), Fraction(1))
    return weight * Fraction(layer.scale) if isinstance(layer, ScaledLinear) else weight


def _bias(layer: nn.Module) -> np.ndarray:
    if layer.bias is None:
        return oracles.exactly(np.zeros(len(layer.weight)))
    return oracles.exactly(layer.bias.detach())


def _pruned(layer: PrunedLinfDistLinear, x_BI: np.ndarray) -> np.ndarray:
    weight_E, start = oracles.exactly(layer.weight_E.detach()), layer.start.tolist()
    index_E = layer.index_E.numpy().astype(int)
    edges = [slice(a, b) for a, b in pairwise(start)]
    return np.array([[np.abs(x_I[index_E[e]] - weight_E[e]).max() for e in edges] for x_I in x_BI])


def _conv(layer: nn.Conv2d, x_BCHW: np.ndarray, weight_OCHW: np.ndarray) -> np.ndarray:
    zeros = oracles.exactly(np.zeros(x_BCHW.shape[1]))
    per_group = weight_OCHW.shape[1]
    out = []
    for x_CHW in x_BCHW:
        x_HWI = oracles.patches(
            x_CHW, weight_OCHW.shape[2], layer.stride[0], layer.padding[0], zeros
        )
        windows = x_HWI.reshape(*x_HWI.shape[:2], layer.groups, per_group, -1)
        filters = weight_OCHW.reshape(layer.groups, -1, per_group, windows.shape[-1])
        maps = [
            (windows[:, :, g, None] * filters[g][None, None]).sum((-2, -1))
            for g in range(layer.groups)
        ]
        out.append(np.concatenate(maps, -1).transpose(2, 0, 1))
    return np.array(out)


def _affine_interval(
    layer: nn.Module, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each end from the ends that its weights' signs choose: no middle, no radius."""
    weight = _weight(layer)
    rising, falling = np.maximum(weight, Fraction(0)), np.minimum(weight, Fraction(0))

    def image(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        if isinstance(layer, nn.Conv2d):
            shift = _bias(layer).reshape(-1, 1, 1)
            return _conv(layer, low, rising) + _conv(layer, high, falling) + shift
        return low @ rising.T + high @ falling.T + _bias(layer)

    return image(lower, upper), image(upper, lower)
