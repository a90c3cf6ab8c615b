"""Layers that are affine, for backward bounds: W x + b, its transpose, and what a program errs.

apply(x) is W x, apply(x, absolute=True) is |W| x; pull(rows, shape) is W^T row for each row, over
inputs of a shape; size is at least the sizes of all numbers that add up to the bias; error(x) is
how far a float32 program may be off where inputs are at most x in size. All in float64.

Shapes: N examples or forms, C/H/W image, I inputs, O outputs, R places of a kernel.
"""

from dataclasses import dataclass

import numpy as np
from enclosures import TINY, U32, program_error
from image_kinds import patches
from numpy.testing import assert_ as require


@dataclass
class Linear:
    weight: np.ndarray
    bias: np.ndarray

    @property
    def size(self):
        return abs(self.bias)

    def apply(self, x_NI, absolute=False):
        return x_NI @ (abs(self.weight) if absolute else self.weight).T

    def pull(self, rows_NO, shape):
        return rows_NO @ self.weight

    def error(self, x_NI):
        return program_error(x_NI[None], self.weight, self.bias, self.weight.shape[1])


@dataclass
class Conv:
    weight_OCHW: np.ndarray
    bias_O: np.ndarray
    stride: int
    padding: int

    def __post_init__(self):
        self.bias = self.bias_O[:, None, None]
        self.size = abs(self.bias)
        self.linear = Linear(self.weight_OCHW.reshape(len(self.weight_OCHW), -1), self.bias_O)

    def at_places(self, function, x_NCHW):
        kernel = self.weight_OCHW.shape[1:]
        x_1RI, places = patches(x_NCHW[None], kernel, self.stride, self.padding, 0.0)
        return np.moveaxis(function(x_1RI[0]).reshape(*places[1:], -1), 3, 1)

    def apply(self, x_NCHW, absolute=False):
        return self.at_places(lambda x_RI: self.linear.apply(x_RI, absolute), x_NCHW)

    def error(self, x_NCHW):
        return self.at_places(self.linear.error, x_NCHW)

    def pull(self, rows_NOHW, shape):
        """Each weight of the kernel sends every row to the pixels that it has met."""
        (channels, height, width), s, p = shape, self.stride, self.padding
        out = np.zeros((len(rows_NOHW), channels, height + 2 * p, width + 2 * p))
        down, across = ((n - 1) * s + 1 for n in rows_NOHW.shape[2:])
        for i, j in np.ndindex(self.weight_OCHW.shape[2:]):
            sent = np.tensordot(rows_NOHW, self.weight_OCHW[:, :, i, j], (1, 0))
            out[:, :, i : i + down : s, j : j + across : s] += np.moveaxis(sent, 3, 1)
        return out[:, :, p : p + height, p : p + width]


@dataclass
class Scale:
    """A number for each channel; rounds: how often the program rounds."""

    scale: np.ndarray
    bias: np.ndarray
    size: np.ndarray
    rounds: int

    def apply(self, x, absolute=False):
        return x * (abs(self.scale) if absolute else self.scale)

    def pull(self, rows, shape):
        return rows * self.scale

    def error(self, x):
        total = x * abs(self.scale) + self.size
        return 1.01 * self.rounds * U32 * total + 2 * self.rounds * TINY


def normalize(ndim, mean_C, std):
    require(std > 0, "std > 0")
    mean = by_channel(mean_C, ndim)
    return Scale(1 / np.float64(std), -mean / std, abs(mean) / std, 4)


def batch_norm(ndim, weight, bias, running_mean, running_var, num_batches_tracked=0, *, eps):
    tensors = (weight, bias, running_mean, running_var)
    w, b, mean, var = (by_channel(t, ndim) for t in tensors)
    require((var >= 0).all() and eps > 0, "var >= 0 and eps > 0")
    scale = w / np.sqrt(var + eps)
    return Scale(scale, b - mean * scale, abs(b) + abs(mean * scale), 12)


def by_channel(t_C, ndim):
    return t_C.astype(np.float64).reshape(-1, *[1] * (ndim - 2))


KINDS = {
    "linear": lambda ndim, weight, bias=0: Linear(weight, bias + np.zeros(len(weight))),
    "conv2d": lambda ndim, weight, bias=0, *, stride, padding: Conv(
        weight, bias + np.zeros(len(weight)), stride, padding
    ),
    "normalize": normalize,
    "batch_norm": batch_norm,
}
