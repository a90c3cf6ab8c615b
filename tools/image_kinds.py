"""What kinds of layers make of images that pick pixels, compare them, or add some of them.

Ends, and what they enclose, as in layer_kinds.py. Shapes: 2 ends, B batch, C/H/W image, I inputs of
a kernel, R rows: one for each place of a kernel.
"""

from fractions import Fraction

import numpy as np
from enclosures import linear, rounded_once
from numpy.testing import assert_ as require


def framed(x_2BCHW, padding, border):
    """The image in a frame of pixels of one value."""
    height, width = x_2BCHW.shape[3:]
    made = np.pad(x_2BCHW, [(0, 0)] * 3 + [(padding, padding)] * 2)
    made[:] = border
    made[:, :, :, padding : padding + height, padding : padding + width] = x_2BCHW
    return made


def patches(x_2BCHW, size, stride, padding=0, border=Fraction(0)):
    """What a kernel sees at each place, x_2RI, row by row; and the places, ends x B x H' x W'."""
    require(size[0] == x_2BCHW.shape[2], "a kernel of another number of channels")
    whole = framed(x_2BCHW, padding, border)
    seen = np.lib.stride_tricks.sliding_window_view(whole, size, (2, 3, 4))
    seen = seen[:, :, 0, ::stride, ::stride]
    return seen.reshape(len(seen), -1, np.prod(size)), seen.shape[:4]


def windows(x_2BCHW, size, stride, padding, border):
    """The pixels of each channel in each window, in a last dimension."""
    whole = framed(x_2BCHW, padding, border)
    seen = np.lib.stride_tricks.sliding_window_view(whole, (size, size), (3, 4))
    seen = seen[:, :, :, ::stride, ::stride]
    return seen.reshape(*seen.shape[:5], size * size)


def max_pool(x_2BCHW, size, stride, padding):
    return windows(x_2BCHW, size, stride, padding, -np.inf).max(-1)


def avg_pool(x_2BCHW, size, stride, padding):
    """The mean of each window; zeros of the frame count."""
    seen, n = windows(x_2BCHW, size, stride, padding, Fraction(0)), size * size
    share = Fraction(1, n) if x_2BCHW.dtype.hasobject else 1 / n
    # SOUND: more than a sum's roundings: that of the share, and of a product or a division by n.
    y_2RO = linear(seen.reshape(len(seen), -1, n), np.full((1, n), share), more=2)
    return y_2RO.reshape(-1, *seen.shape[1:5])


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
