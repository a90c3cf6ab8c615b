"""Margins of both bounds in numpy's float64, rounding ignored: slow, plain and written apart.

A certificate falls short of these by rounding alone: what is far from 0 here has its sign there.

Shapes: B batch, I in features, O out features, C/H/W image, K classes.
"""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
from torch import nn

from tests import oracles
from zoo import layers
from zoo.models import Net

Ends = tuple[np.ndarray, np.ndarray]


def margins(bound: str, net: nn.Module, x_BCHW, y_B, eps_B, *, clip: bool) -> np.ndarray:
    """Worst margin of each image at its own eps, (B,)."""
    x, eps = x_BCHW.astype(np.float64), np.asarray(eps_B, np.float64).reshape(-1, 1, 1, 1)
    if bound == "lipschitz":
        logits_BK, _ = _image(net, x, x)
        return _worst(logits_BK, logits_BK, y_B) - 2 * _constant(net) * eps[:, 0, 0, 0]
    ends = [np.clip(end, 0, 1) if clip else end for end in (x - eps, x + eps)]
    last = _layers(net)[-1]
    if isinstance(last, nn.Linear | layers.ScaledLinear | layers.LinfLinear):
        return _elided(last, _through(_layers(net)[:-1], *ends), y_B)
    return _worst(*_image(net, *ends), y_B)


def scale(net: nn.Module, x_BCHW: np.ndarray) -> np.ndarray:
    """The largest number in each image's forward pass: rounding is relative to it."""
    x = x_BCHW.astype(np.float64)
    largest_B = np.ones(len(x))
    for layer in _layers(net):
        x, _ = _step(layer, x, x)
        largest_B = np.maximum(largest_B, np.abs(x).reshape(len(x_BCHW), -1).max(1))
    return largest_B


def borders(bound: str, net: nn.Module, x_BCHW, y_B, *, clip: bool) -> np.ndarray:
    """The eps at which each image's margin is 0, (B,); 1 where it stays positive."""
    low_B, high_B = np.zeros(len(x_BCHW)), np.ones(len(x_BCHW))
    for _ in range(26):
        middle_B = (low_B + high_B) / 2
        positive_B = margins(bound, net, x_BCHW, y_B, middle_B, clip=clip) > 0
        low_B = np.where(positive_B, middle_B, low_B)
        high_B = np.where(positive_B, high_B, middle_B)
    return high_B


def _worst(lower_BK: np.ndarray, upper_BK: np.ndarray, y_B: np.ndarray) -> np.ndarray:
    at = np.arange(len(y_B))
    others_BK = upper_BK.copy()
    others_BK[at, y_B] = -np.inf
    return lower_BK[at, y_B] - others_BK.max(1)


def _elided(last: nn.Module, ends: Ends, y_B: np.ndarray) -> np.ndarray:
    """The least f_y - f_k over k != y, each row of differences by itself."""
    worst_B = []
    for low_I, high_I, y in zip(*ends, y_B, strict=True):
        pair_KI, shift_K = _rows(last)[y] - _rows(last), _bias(last)[y] - _bias(last)
        least_K = np.where(pair_KI > 0, pair_KI * low_I, pair_KI * high_I).sum(1) + shift_K
        worst_B.append(np.delete(least_K, y).min())
    return np.array(worst_B)


def _layers(net: nn.Module) -> list[nn.Module]:
    inside = net.layers if hasattr(net, "layers") else net
    inside = inside if isinstance(inside, nn.Sequential) else [inside]
    return [leaf for layer in inside for leaf in _leaves(layer)]


def _leaves(layer: nn.Module) -> list[nn.Module]:
    apart = layers.Average | layers.Concat | layers.Residual
    parts = [] if isinstance(layer, apart) else list(layer.children())
    return [leaf for part in parts for leaf in _leaves(part)] if parts else [layer]


def _image(net: nn.Module, *ends: np.ndarray) -> Ends:
    return _through(_layers(net), *ends)


def _through(inside: list[nn.Module], *ends: np.ndarray) -> Ends:
    return functools.reduce(lambda at, layer: _step(layer, *at), inside, ends)


def _step(layer: nn.Module, lower: np.ndarray, upper: np.ndarray) -> Ends:
    match layer:
        case layers.Normalize():
            mean = _numbers(layer.mean_C).reshape(-1, 1, 1)
            return (lower - mean) / float(layer.std), (upper - mean) / float(layer.std)
        case layers.MeanShift():
            mean = _numbers(layer.running_mean_O).reshape(-1, *[1] * (lower.ndim - 2))
            return lower - mean, upper - mean
        case nn.Flatten():
            return lower.reshape(len(lower), -1), upper.reshape(len(upper), -1)
        case layers.Negate():
            return -upper, -lower
        case layers.Residual():
            body, skip = (
                _through(_leaves(part), lower, upper) for part in (layer.body, layer.skip)
            )
            return body[0] + skip[0], body[1] + skip[1]
        case nn.Identity() | nn.Dropout():
            return lower, upper
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            ends = oracles.batch_norm(layer, lower), oracles.batch_norm(layer, upper)
            return np.minimum(*ends), np.maximum(*ends)
        case nn.MaxPool2d() | nn.AvgPool2d() | nn.AdaptiveAvgPool2d():
            return oracles.pooled(layer, lower), oracles.pooled(layer, upper)
        case nn.ReLU():
            return np.maximum(lower, 0), np.maximum(upper, 0)
        case nn.Tanh():
            return np.tanh(lower), np.tanh(upper)
        case layers.SortDistLinear():
            ends = _orders(lower, upper, _numbers(layer.weight), _numbers(layer.order_K))
        case layers.Average():
            ends = [_image(m, *_image(view, lower, upper)) for view, m in layer.branches]
            return tuple(sum(end) / len(ends) for end in zip(*ends, strict=True))
        case layers.Concat():
            ends = [_image(branch, lower, upper) for branch in layer.branches]
            return tuple(np.concatenate(end, 1) for end in zip(*ends, strict=True))
        case layers.HalfSum():
            return tuple(sum(_pairs(x, layer.dim)) / 2 for x in (lower, upper))
        case layers.HalfDifference():
            size = lower.shape[layer.dim]
            (a, b), (c, d) = (
                (x.take(range(1, size), layer.dim), x.take(range(size - 1), layer.dim))
                for x in (lower, upper)
            )
            return (a - d) / 2, (c - b) / 2
        case layers.LocalMin():
            return tuple(np.minimum(*_quarters(np.minimum, x)) for x in (lower, upper))
        case layers.LocalMax():
            return tuple(np.maximum(*_quarters(np.maximum, x)) for x in (lower, upper))
        case layers.Channels():
            return lower[:, layer.picked], upper[:, layer.picked]
        case layers.CenterCrop() | layers.Crops() | layers.Join():
            return tuple(oracles.cropped(layer, x) for x in (lower, upper))
        case layers.Flip():
            return lower[..., ::-1], upper[..., ::-1]
        case layers.Shift():
            return tuple(oracles.shifted(x, layer.rows, layer.columns) for x in (lower, upper))
        case layers.MaxMin():
            return _sorted(lower), _sorted(upper)
        case layers.LpDistLinear():
            ends = _distances(lower, upper, _numbers(layer.weight))
        case layers.PrunedLinfDistLinear():
            ends = _pruned(layer, lower, upper)
        case layers.LpDistConv2d():
            rows = [_windows(x, layer, _numbers(layer.pad_value_C)) for x in (lower, upper)]
            shape, flat = rows[0].shape[:3], [r.reshape(-1, r.shape[-1]) for r in rows]
            weight_OI = _numbers(layer.weight).reshape(len(layer.weight), -1)
            low, high = (e + _bias(layer) for e in _distances(*flat, weight_OI))
            return tuple(e.reshape(*shape, -1).transpose(0, 3, 1, 2) for e in (low, high))
        case nn.Linear() | layers.ScaledLinear() | layers.LinfLinear():
            ends = _affine(lower, upper, _rows(layer))
        case nn.Conv2d():
            return _convolution(layer, lower, upper)
        case _:
            raise AssertionError(f"no reference for {type(layer).__name__}")
    return ends[0] + _bias(layer), ends[1] + _bias(layer)


def _gain(layer: nn.Module) -> float:
    if isinstance(layer, layers.Normalize):
        return 1 / float(layer.std)
    return np.abs(_numbers(layer.weight)).sum(1).max() if type(layer) is nn.Linear else 1.0


def _constant(net: nn.Module) -> float:
    """Of nets of the zoo only a Normalize makes it more than 1: rows below 1 count as 1."""
    known = (layers.Normalize,) if isinstance(net, Net) else (nn.Module,)
    return float(np.prod([_gain(layer) for layer in _layers(net) if isinstance(layer, known)]))


def _sorted(x_BI: np.ndarray) -> np.ndarray:
    return -np.sort(-x_BI.reshape(len(x_BI), -1, 2), 2).reshape(x_BI.shape)


def _pairs(x: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = (x.take(range(i, x.shape[dim], 2), dim) for i in (0, 1))
    return first, second


def _quarters(best: np.ufunc, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squares of 2 x 2, compared along rows; what is left are pairs along columns."""
    return _pairs(best(*_pairs(x, 2)), 3)


def _numbers(tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


def _rows(layer: nn.Module) -> np.ndarray:
    """Weights of a linear layer, (O, I)."""
    w_OI = _numbers(layer.weight) * getattr(layer, "scale", 1.0)
    if isinstance(layer, layers.LinfLinear):
        return w_OI / np.maximum(np.abs(w_OI).sum(1, keepdims=True), 1)
    return w_OI


def _bias(layer: nn.Module) -> np.ndarray | float:
    return 0.0 if layer.bias is None else _numbers(layer.bias)


def _each(lower_BI: np.ndarray, upper_BI: np.ndarray, w_OI: np.ndarray) -> Ends:
    """Nearest and farthest distance of each coordinate, (B, O, I)."""
    below, above = lower_BI[:, None] - w_OI, upper_BI[:, None] - w_OI
    nearest = np.where((below <= 0) & (above >= 0), 0, np.minimum(np.abs(below), np.abs(above)))
    return nearest, np.maximum(np.abs(below), np.abs(above))


def _distances(lower_BI: np.ndarray, upper_BI: np.ndarray, w_OI: np.ndarray) -> Ends:
    nearest, farthest = _each(lower_BI, upper_BI, w_OI)
    return nearest.max(2), farthest.max(2)


def _orders(lower_BI: np.ndarray, upper_BI: np.ndarray, w_OI: np.ndarray, v_K: np.ndarray) -> Ends:
    ends = _each(lower_BI, upper_BI, w_OI)
    return tuple(np.sort(end, 2)[..., ::-1][..., : len(v_K)] @ v_K for end in ends)


def _pruned(layer: layers.PrunedLinfDistLinear, lower: np.ndarray, upper: np.ndarray) -> Ends:
    index, weight = layer.index_E.numpy().astype(int), _numbers(layer.weight_E)
    parts = [slice(a, b) for a, b in pairwise(layer.start.tolist())]
    ends = [_distances(lower[:, index[e]], upper[:, index[e]], weight[None, e]) for e in parts]
    return tuple(np.concatenate(parts, 1) for parts in zip(*ends, strict=True))


def _affine(lower: np.ndarray, upper: np.ndarray, w_OI: np.ndarray) -> Ends:
    up, down = np.maximum(w_OI, 0).T, np.minimum(w_OI, 0).T
    return lower @ up + upper @ down, upper @ up + lower @ down


def _windows(x_BCHW: np.ndarray, layer, border_C: np.ndarray) -> np.ndarray:
    """(B, H', W', C * h * w)."""
    (pad, *_), (step, *_) = (np.ravel(v) for v in (layer.padding, layer.stride))
    size = layer.weight.shape[-1]
    b, c, h, w = x_BCHW.shape
    framed = np.empty((b, c, h + 2 * pad, w + 2 * pad))
    framed[:] = border_C[:, None, None]
    framed[:, :, pad : pad + h, pad : pad + w] = x_BCHW
    view = np.lib.stride_tricks.sliding_window_view(framed, (size, size), (2, 3))
    view = view[:, :, ::step, ::step].transpose(0, 2, 3, 1, 4, 5)
    return view.reshape(*view.shape[:3], -1)


def _convolution(layer: nn.Conv2d, lower: np.ndarray, upper: np.ndarray) -> Ends:
    outputs, size = [], layer.in_channels // layer.groups
    for group, weight in enumerate(np.split(_numbers(layer.weight), layer.groups)):
        channels = slice(group * size, (group + 1) * size)
        rows = [_windows(x[:, channels], layer, np.zeros(size)) for x in (lower, upper)]
        outputs.append(_affine(*rows, weight.reshape(len(weight), -1)))
    shift = np.reshape(_bias(layer), (-1, 1, 1))
    ends = (np.concatenate(parts, -1).transpose(0, 3, 1, 2) for parts in zip(*outputs, strict=True))
    return tuple(end + shift for end in ends)
