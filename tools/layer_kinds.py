"""What each kind of layer makes of the ends of a box.

docs/guarantees.md says what each kind computes; enclosures.py says what ends enclose, by the type
of their numbers. A function takes the ends, its layer's tensors and what else the card says of it.

Shapes: 2 ends (1 of a point), B batch, C/H/W image, I inputs, E edges of a neuron, O outputs, K
classes or order statistics, R rows: one for each place of a kernel.
"""

from fractions import Fraction
from functools import reduce
from itertools import pairwise

import affine_kinds
import numpy as np
from enclosures import TINY, U32, U64, linear, outward, rounded_once
from image_kinds import (
    avg_pool,
    center_crop,
    crops,
    half_difference,
    half_sum,
    local_max,
    local_min,
    max_pool,
    patches,
    shift,
)
from numpy.testing import assert_ as require

TANH = 2 * 4  # so many shares U is a library's tanh assumed to be off: 4 units in the last place


# ---------------------------------------------------------------------------------------- distances


def plus(y_2BO, bias_O):
    require(np.shape(bias_O) in ((), y_2BO.shape[2:]), "a bias for each output")
    return rounded_once(y_2BO + bias_O)


def distances(x_2BE, w_E):
    """|x_e - w_e|, not yet rounded outward."""
    require(x_2BE.shape[2:] == w_E.shape, "a weight for each input")
    d_2BE = x_2BE - w_E
    # SOUND: for d from lo to hi, |d| is at least lo, -hi and 0, and at most hi or -lo.
    return np.maximum(np.maximum(d_2BE, -d_2BE[::-1]), 0)


def largest(x_2BE, w_E):
    """max_e |x_e - w_e|, as `distances` but with maxima and minima in two passes."""
    require(x_2BE.shape[2:] == w_E.shape, "a weight for each input")
    d_2BE = x_2BE - w_E
    return np.maximum(np.maximum(d_2BE.max(2), -d_2BE.min(2)[::-1]), 0)


def linf_dist(x_2BI, weight, bias=0):
    y_2BO = np.stack([largest(x_2BI, w_I) for w_I in weight], 2)
    return plus(rounded_once(y_2BO), bias)


def pruned_linf_dist(x_2BI, weight_E, index_E, start, bias=0):
    rising = start[0] == 0 and start[-1] == len(index_E) and (np.diff(start) > 0).all()
    require(rising, "start does not divide the edges")
    edges = [slice(i, j) for i, j in pairwise(start)]
    y_2BO = np.stack([largest(x_2BI[:, :, index_E[e]], weight_E[e]) for e in edges], 2)
    return plus(rounded_once(y_2BO), bias)


def sort_dist(x_2BI, weight, order_K, bias=0):
    order = [Fraction(float(v)) for v in order_K]
    require(min(order) > 0 and sum(order) <= 1, "order_K must be positive and sum to at most 1")
    require(len(order) <= weight.shape[1], "more order statistics than inputs")
    sums = []
    for w_I in weight:
        d_2BI = distances(x_2BI, w_I)
        top_2BK = np.sort(np.partition(d_2BI, -len(order), 2)[:, :, -len(order) :], 2)[:, :, ::-1]
        top_2BK = rounded_once(top_2BK)
        products = (rounded_once(v * top_2BK[:, :, k]) for k, v in enumerate(order_K))
        sums.append(reduce(lambda a, b: rounded_once(a + b), products))
    return plus(np.stack(sums, 2), bias)


# ------------------------------------------------------------------------------------------- images


def at_places(y_2RO, places):
    return np.moveaxis(y_2RO.reshape(-1, *places[1:], y_2RO.shape[2]), 4, 2)


def conv2d(x_2BCHW, weight, bias=0, *, stride, padding):
    x_2RI, places = patches(x_2BCHW, weight.shape[1:], stride, padding)
    return at_places(linear(x_2RI, weight.reshape(len(weight), -1), bias), places)


def linf_dist_conv2d(x_2BCHW, weight, pad_value_C, bias=0, *, stride, padding):
    border_C11 = pad_value_C[:, None, None]
    x_2RI, places = patches(x_2BCHW, weight.shape[1:], stride, padding, border_C11)
    return at_places(linf_dist(x_2RI, weight.reshape(len(weight), -1), bias), places)


def normalize(x_2BCHW, mean_C, std):
    require(std > 0 and len(mean_C) == x_2BCHW.shape[2], "std > 0 and a mean for each channel")
    return rounded_once(rounded_once(x_2BCHW - mean_C[:, None, None]) / std)


def batch_norm(x, **tensors):
    """(x - mean) / sqrt(var + eps) * weight + bias, in whatever order; channels come third."""
    require(not x.dtype.hasobject, "batch_norm has no fractions")
    one, wide = affine_kinds.batch_norm(x.ndim - 1, **tensors), x.astype(np.float64)
    middle, r = one.apply((wide[0] + wide[-1]) / 2) + one.bias, (wide[-1] - wide[0]) / 2
    largest = abs(wide).max(0)
    total = one.apply(largest, absolute=True) + one.size
    # SOUND: the program errs by `error`; here fewer than 16 roundings are of at most total.
    slack = one.apply(r, absolute=True) + 1.01 * 16 * U64 * total + TINY
    if x.dtype == np.float32:
        slack = slack + one.error(largest)
    return outward(middle - slack, middle + slack, x.dtype)


# ------------------------------------------------------------------------------------ other numbers


def max_min(x):
    """The larger and the smaller of each two neighbours."""
    a, b = x[..., ::2], x[..., 1::2]
    return np.stack([np.maximum(a, b), np.minimum(a, b)], -1).reshape(x.shape)


def tanh(x):
    require(not x.dtype.hasobject, "tanh has no fractions")
    y = np.tanh(x.astype(np.float64))
    # SOUND: y - TANH U |y| grows with y, so no larger x gives less; and numpy's own tanh is as far
    # off as any library's.
    units = U64 + U32 if x.dtype == np.float32 else U64
    slack = 1.01 * TANH * units * abs(y) + 2 * TINY
    return outward(y[0] - slack[0], y[-1] + slack[-1], x.dtype)


def average(parts, weights):
    """Weighted sum of what several branches make of the box, in their order."""
    exact = [Fraction(v) for v in weights]
    require(min(exact) > 0 and sum(exact) <= 1, "weights must be positive and sum to at most 1")
    require(all(float(np.float32(v)) == v for v in weights), "weights must be float32 numbers")
    v_K = exact if parts[0].dtype.hasobject else np.array(weights, parts[0].dtype)
    terms = (rounded_once(v * part) for v, part in zip(v_K, parts, strict=True))
    return reduce(lambda a, b: rounded_once(a + b), terms)


# A kind that picks or compares numbers rounds nothing: a line. So is an operation that rounds once
# and grows, by `rounded_once`.
KINDS = {
    "flatten": lambda x: x.reshape(*x.shape[:2], -1),
    "join": lambda x, crops: x.reshape(len(x), -1, crops * x.shape[2]),
    "flip": lambda x: x[..., ::-1],
    "channels": lambda x, picked: x[:, :, picked],
    "concat": lambda parts: np.concatenate(parts, 2),
    "relu": lambda x: np.maximum(x, 0),
    "add": lambda parts: reduce(lambda a, b: rounded_once(a + b), parts),
    "negate": lambda x: -x[::-1],
}
FUNCTIONS = linf_dist, pruned_linf_dist, sort_dist, linf_dist_conv2d, linear, conv2d, normalize
FUNCTIONS += center_crop, shift, crops, half_sum, half_difference, local_max, local_min
FUNCTIONS += max_min, tanh, average, max_pool, avg_pool, batch_norm
KINDS |= {function.__name__: function for function in FUNCTIONS}
# Other machines may give other last bits, and of some there are no exact values.
SUMS = {"linear", "conv2d", "tanh", "avg_pool", "batch_norm"}
INEXACT = {"tanh", "batch_norm"}


def options(layer, tensors):
    """All that the function of a kind takes beside its input."""
    about = {key: v for key, v in layer.items() if key not in ("kind", "name", "branches")}
    return about | tensors.get(layer.get("name"), {})


def run(layers, tensors, x):
    for layer in layers:
        if "branches" in layer:
            x = [run(branch, tensors, x) for branch in layer["branches"]]
        x = KINDS[layer["kind"]](x, **options(layer, tensors))
    return x
