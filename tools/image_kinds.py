"""What kinds of layers make of images that pick pixels, compare them, or add two of them.

Ends, and what they enclose, as in layer_kinds.py. Shapes: 2 ends, B batch, C/H/W image, I inputs of
a kernel, R rows: one for each place of a kernel.
"""

from fractions import Fraction

import numpy as np
from enclosures import rounded_once
from numpy.testing import assert_ as require


def patches(x_2BCHW, size, stride, padding=0, border=Fraction(0)):
    """What a kernel sees at each place, x_2RI, row by row; and the places, ends x B x H' x W'."""
    require(size[0] == x_2BCHW.shape[2], "a kernel of another number of channels")
    height, width = x_2BCHW.shape[3:]
    framed = np.pad(x_2BCHW, [(0, 0)] * 3 + [(padding, padding)] * 2)
    framed[:] = border
    framed[:, :, :, padding : padding + height, padding : padding + width] = x_2BCHW
    seen = np.lib.stride_tricks.sliding_window_view(framed, size, (2, 3, 4))
    seen = seen[:, :, 0, ::stride, ::stride]
    return seen.reshape(len(seen), -1, np.prod(size)), seen.shape[:4]


def center_crop(x_2BCHW, size):
    height, width = x_2BCHW.shape[3:]
    require(0 < size <= min(height, width), "a crop of another size than the image has")
    top, left = (height - size) // 2, (width - size) // 2
    return x_2BCHW[:, :, :, top : top + size, left : left + size]


def shift(x_2BCHW, rows, columns):
    """The image moved down and to the right; where it leaves a gap its edge is repeated."""
    height, width = x_2BCHW.shape[3:]
    at_H = np.clip(np.arange(height) - rows, 0, height - 1)
    at_W = np.clip(np.arange(width) - columns, 0, width - 1)
    return x_2BCHW[:, :, :, at_H][:, :, :, :, at_W]


def crops(x_2BCHW, size, stride):
    """All crops of an image, row by row, as a batch of their own."""
    return patches(x_2BCHW, (x_2BCHW.shape[2], size, size), stride)[0]


def half_sum(x_2BCHW, dim):
    """(x_2i + x_2i+1) / 2 along a dimension: one rounding, as a half is exact or tiny."""
    require(x_2BCHW.shape[dim + 1] % 2 == 0, "neighbours without a pair")
    x = np.moveaxis(x_2BCHW, dim + 1, -1)
    return np.moveaxis(rounded_once((x[..., ::2] + x[..., 1::2]) / 2), -1, dim + 1)


def half_difference(x_2BCHW, dim):
    """(x_i+1 - x_i) / 2 along a dimension; what is taken away has its other end."""
    x = np.moveaxis(x_2BCHW, dim + 1, -1)
    return np.moveaxis(rounded_once((x[..., 1:] - x[::-1, ..., :-1]) / 2), -1, dim + 1)


def local_max(x_2BCHW, size):
    """The largest pixel of each size x size square."""
    *front, height, width = x_2BCHW.shape
    require(height % size == width % size == 0, "an image that is not made of such squares")
    squares = x_2BCHW.reshape(*front, height // size, size, width // size, size)
    return squares.max((-3, -1))


def local_min(x_2BCHW, size):
    return -local_max(-x_2BCHW, size)
