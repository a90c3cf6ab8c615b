"""Slow references, written apart from the package: numpy and exact rationals, no torch.

Every function that only subtracts, compares and adds takes arrays of floats (IEEE arithmetic of
their dtype) and object arrays of Fractions (exact arithmetic) alike.

Shapes: B batch, I in features, O out features, C/H/W image.
"""

from __future__ import annotations

import decimal
import math
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def exactly(values: Any) -> Array:
    """The rational numbers that floating-point values are, as an object array."""
    values = np.asarray(values, np.float64)
    exact = np.empty(values.shape, object)
    for at in np.ndindex(values.shape):
        exact[at] = Fraction(values[at].item())
    return exact


_DIGITS = decimal.Context(prec=120)


def tanh(x: Fraction) -> Fraction:
    """To 60 digits at least: (e^2x - 1) / (e^2x + 1), or x - x^3 / 3 where that would cancel."""
    if abs(x) < Fraction(1, 10**20):
        return x - x**3 / 3
    if abs(x) > 100:  # nearer to 1 than any number that these tests tell from it
        return Fraction(1 if x > 0 else -1) * (1 - Fraction(1, 10**80))
    twice = _DIGITS.divide(decimal.Decimal(2 * x.numerator), decimal.Decimal(x.denominator))
    power = _DIGITS.exp(twice)
    above, below = _DIGITS.subtract(power, 1), _DIGITS.add(power, 1)
    return Fraction(_DIGITS.divide(above, below))


def linf_dist(x_BI: Array, w_OI: Array) -> Array:
    """max_i |x_bi - w_oi|, pair by pair."""
    return np.array([[np.abs(x_I - w_I).max() for w_I in w_OI] for x_I in x_BI])


def linf_dist_bounds(lower_BI: Array, upper_BI: Array, w_OI: Array) -> tuple[Array, Array]:
    """Range of |x - w| over each coordinate's interval, by cases, then the maximum over i."""
    ends = [
        [_range_of_max(lower_I, upper_I, w_I) for w_I in w_OI]
        for lower_I, upper_I in zip(lower_BI, upper_BI, strict=True)
    ]
    return np.array([[e[0] for e in row] for row in ends]), np.array(
        [[e[1] for e in row] for row in ends]
    )


def _range_of_max(lower_I: Array, upper_I: Array, w_I: Array) -> tuple[Any, Any]:
    smallest, largest = _ranges(lower_I, upper_I, w_I)
    return max(smallest), max(largest)


def _ranges(lower_I: Array, upper_I: Array, w_I: Array) -> tuple[list[Any], list[Any]]:
    """Smallest and largest |x - w| of each coordinate."""
    smallest, largest = [], []
    for lower, upper, w in zip(lower_I, upper_I, w_I, strict=True):
        at_ends = abs(lower - w), abs(upper - w)
        smallest.append(0 * w if lower <= w <= upper else min(at_ends))
        largest.append(max(at_ends))
    return smallest, largest


def order_dist_bounds(
    lower_BI: Array, upper_BI: Array, w_OI: Array, v_K: Array
) -> tuple[Array, Array]:
    """Range of sum_k v_k |x - w|_(k), from the sorted ends of each coordinate's range."""

    def weighed(distances: list[Any]) -> Any:
        largest = sorted(distances, reverse=True)[: len(v_K)]
        total = largest[0] * v_K[0]
        for distance, v in zip(largest[1:], v_K[1:], strict=True):
            total = total + distance * v
        return total

    ends = [
        [[weighed(end) for end in _ranges(lower_I, upper_I, w_I)] for w_I in w_OI]
        for lower_I, upper_I in zip(lower_BI, upper_BI, strict=True)
    ]
    return tuple(np.array([[e[side] for e in row] for row in ends]) for side in (0, 1))


def lp_dist(x_BI: Array, w_OI: Array, p: float) -> Array:
    """(sum_i |x_bi - w_oi|^p)^(1/p) in float64, divided by the largest term before the power."""
    t_BOI = np.abs(x_BI.astype(np.float64)[:, None] - w_OI.astype(np.float64)[None])
    max_BO = t_BOI.max(2)
    if math.isinf(p):
        return max_BO
    ratio_BOI = t_BOI / np.where(max_BO == 0, 1, max_BO)[..., None]
    return max_BO * np.where(max_BO == 0, 1, (ratio_BOI**p).sum(2)) ** (1 / p)


def lp_dist_grads(x_BI: Array, w_OI: Array, grad_BO: Array, p: float) -> tuple[Array, Array]:
    """Gradients of sum(grad * lp_dist), closed formula; at p = inf the first winner takes it."""
    slope_BOI = np.zeros((len(x_BI), *w_OI.shape))
    for b, o in np.ndindex(grad_BO.shape):
        t_I = x_BI[b] - w_OI[o]
        if math.isinf(p):
            winner = int(np.argmax(np.abs(t_I)))  # numpy promises the first
            slope_BOI[b, o, winner] = np.sign(t_I[winner])
        elif t_I.any():
            y = lp_dist(x_BI[b : b + 1], w_OI[o : o + 1], p).item()
            slope_BOI[b, o] = np.sign(t_I) * (np.abs(t_I) / y) ** (p - 1)
    slope_BOI *= grad_BO[..., None]
    return slope_BOI.sum(1), -slope_BOI.sum(0)


def patches(x_CHW: Array, size: int, stride: int, padding: int, border_C: Array) -> Array:
    """Windows of an image with a border of one value a channel, as (H', W', C * size * size)."""
    channels, height, width = x_CHW.shape
    framed = np.empty((channels, height + 2 * padding, width + 2 * padding), x_CHW.dtype)
    framed[:] = border_C[:, None, None]
    framed[:, padding : padding + height, padding : padding + width] = x_CHW
    rows = range(0, framed.shape[1] - size + 1, stride)
    columns = range(0, framed.shape[2] - size + 1, stride)
    return np.array(
        [[framed[:, i : i + size, j : j + size].reshape(-1) for j in columns] for i in rows]
    )


def linf_conv(
    x_BCHW: Array, w_OCHW: Array, stride: int = 1, padding: int = 0, border_C: Array | None = None
) -> Array:
    """l_inf distance of each window to each kernel, (B, O, H', W')."""
    if border_C is None:
        border_C = x_BCHW[0, :, 0, 0] * 0
    w_OI = w_OCHW.reshape(len(w_OCHW), -1)
    out = []
    for x_CHW in x_BCHW:
        x_HWI = patches(x_CHW, w_OCHW.shape[2], stride, padding, border_C)
        y_NO = linf_dist(x_HWI.reshape(-1, w_OI.shape[1]), w_OI)
        out.append(y_NO.reshape(*x_HWI.shape[:2], -1).transpose(2, 0, 1))
    return np.array(out)


def batch_norm(layer, x: Array) -> Array:
    """By running statistics; an irrational root to 100 digits, where entries are Fractions."""
    parts = [getattr(layer, name) for name in ("running_mean", "running_var", "weight", "bias")]
    mean, var, weight, bias = (part.detach().numpy().astype(np.float64) for part in parts)
    shape = (-1, *[1] * (x.ndim - 2))
    if x.dtype != object:
        scale = weight / np.sqrt(var + layer.eps)
    else:
        mean, var, weight, bias = (exactly(part) for part in (mean, var, weight, bias))
        roots = [_root(v + Fraction(layer.eps)) for v in var]
        scale = weight / np.array(roots, object)
    return (x - mean.reshape(shape)) * scale.reshape(shape) + bias.reshape(shape)


def _root(x: Fraction) -> Fraction:
    ratio = _DIGITS.divide(decimal.Decimal(x.numerator), decimal.Decimal(x.denominator))
    return Fraction(_DIGITS.sqrt(ratio))


def pooled(layer, x_BCHW: Array) -> Array:
    """The largest or the mean of each window; a border counts in means, as 0, never in maxima."""
    if type(layer).__name__ == "AdaptiveAvgPool2d":
        return _means_of_parts(x_BCHW, layer.output_size)
    size, stride, pad = layer.kernel_size, layer.stride, layer.padding
    mean = type(layer).__name__ == "AvgPool2d"
    height, width = x_BCHW.shape[2:]
    tops, lefts = (range(-pad, side + pad - size + 1, stride) for side in (height, width))
    out = np.empty((*x_BCHW.shape[:2], len(tops), len(lefts)), x_BCHW.dtype)
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            rows, columns = (slice(max(0, at), at + size) for at in (top, left))
            window = x_BCHW[:, :, rows, columns]
            out[:, :, i, j] = window.sum((2, 3)) / size**2 if mean else window.max((2, 3))
    return out


def _means_of_parts(x_BCHW: Array, count: int) -> Array:
    """Means of count x count parts, whose ends are rounded outward where they are not whole."""
    out = np.empty((*x_BCHW.shape[:2], count, count), x_BCHW.dtype)
    for i, j in np.ndindex(count, count):
        rows, columns = (
            slice(at * side // count, -(-(at + 1) * side // count))
            for at, side in zip((i, j), x_BCHW.shape[2:], strict=True)
        )
        window = x_BCHW[:, :, rows, columns]
        out[:, :, i, j] = window.sum((2, 3)) / (window.shape[2] * window.shape[3])
    return out


def shifted(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Images (..., H, W) moved down and to the right, the nearest pixel where there is none."""
    height, width = x.shape[-2:]
    y = np.empty_like(x)
    for h, w in np.ndindex(height, width):
        from_h, from_w = min(max(h - rows, 0), height - 1), min(max(w - columns, 0), width - 1)
        y[..., h, w] = x[..., from_h, from_w]
    return y


def cropped(layer, x: np.ndarray) -> np.ndarray:
    """CenterCrop, Crops and Join by indices, one output at a time."""
    match type(layer).__name__:
        case "CenterCrop":
            top, left = ((side - layer.size) // 2 for side in x.shape[2:])
            return x[:, :, top : top + layer.size, left : left + layer.size]
        case "Crops":
            corners = [range(0, side - layer.size + 1, layer.stride) for side in x.shape[2:]]
            size = layer.size
            windows = [
                image[:, top : top + size, left : left + size].reshape(-1)
                for image in x
                for top in corners[0]
                for left in corners[1]
            ]
            return np.array(windows)
        case "Join":
            count = layer.num_crops
            rows = [np.concatenate(x[i : i + count]) for i in range(0, len(x), count)]
            return np.array(rows)
    raise AssertionError(type(layer).__name__)
