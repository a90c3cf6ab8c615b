"""The ends of a box after operations that round, and after sums of products.

A box is the array of its two ends (of one, where it is a point). The type of its numbers says what
the ends enclose:

    Fraction    the exact layer, on all real inputs between the ends; nothing is rounded
    np.float64  the same; whatever rounding may have cost, the ends move further out
    np.float32  the program in float32, in any order of its sums, on all float32 inputs

Shapes: 2 ends, B batch, I inputs, O outputs, K classes.
"""

from fractions import Fraction

import numpy as np
from numpy.testing import assert_ as require  # unlike assert, python -O keeps it

U32, U64 = 2.0**-24, 2.0**-53  # an operation is off by at most this share of its result
TINY = 2.0**-126  # ... and by this where it underflows in float32, flushed to 0 or not


def numbers(array, kind):
    """Float32 numbers as those of another kind, exactly; indices stay indices."""
    if array.dtype != np.float32:
        return array
    return np.frompyfunc(Fraction, 1, 1)(array) if kind is Fraction else array.astype(kind)


def outward(low, high, dtype):
    """Ends in a type of numbers, each of them one number further out."""
    if not dtype.hasobject:  # fractions are objects
        low = np.nextafter(low.astype(dtype), -np.inf)
        high = np.nextafter(high.astype(dtype), np.inf)
    return np.stack([low, high])


def rounded_once(x):
    """Ends after one operation that rounds once and grows with its input.

    In float32 they stay: rounding grows with the exact result, so that the program's own operation
    on the ends encloses its results on all that lies between.
    """
    return outward(x[0], x[-1], x.dtype) if x.dtype == np.float64 else x


def affine(x_2BI, weight, bias, n):
    """Ends of W x + b over the reals of a box, each sum of n products; not in float32.

    The box is a middle mu and a radius r, the ends W mu + b -+ |W| r. To first order, T being
    |W| |x| + |b| for the largest |x|, these are off by (n + 1) u T and n u |W| r for the sums in
    any order, u T for the rounding of r and 2 u T for adding up: at most (n + 4) u T, as
    |W| (|mu| + r) + |b| = T. 1.01 is for higher orders, and for T as it is computed.
    """
    require(np.shape(bias) in ((), weight.shape[:1]), "a bias for each output")
    mu = (x_2BI[0] + x_2BI[-1]) / 2
    r = np.maximum(x_2BI[-1] - mu, mu - x_2BI[0])
    z, rho = mu @ weight.T + bias, r @ abs(weight).T
    if mu.dtype.hasobject:
        return z - rho, z + rho
    slack = 1.01 * (n + 4) * U64 * magnitude(x_2BI, weight, bias) + TINY
    return z - rho - slack, z + rho + slack


def magnitude(x_2BI, weight, bias):
    """T."""
    return abs(x_2BI).max(0) @ abs(weight).T + abs(bias)


def program_error(x_2BI, weight, bias, n):
    """How far float32 sums of n products and a bias are from exact ones, whatever their order.

    (n + 1) u T to first order (Higham 2002, section 3.1), fused or not; 2 n + 1 operations may
    underflow.
    """
    total = magnitude(x_2BI, weight, bias)
    require(n < 2**16 and (total < 2.0**127).all(), "a sum is too long, or may overflow")
    return 1.01 * (n + 1) * U32 * total + 2 * (n + 1) * TINY


def in_float64(*arrays):
    """Products of float32 numbers are exact in float64; fractions stay what they are."""
    arrays = map(np.asarray, arrays)
    return [a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays]


def linear(x_2BI, weight, bias=0, more=0):
    """Ends of W x + b; more: roundings beyond those of its sums."""
    wide, n = in_float64(x_2BI, weight, bias), weight.shape[1] + more
    low, high = affine(*wide, n)
    if x_2BI.dtype == np.float32:
        error = program_error(*wide, n)
        low, high = low - error, high + error
    return outward(low, high, x_2BI.dtype)


def differences_of_linear(x_2BI, y_B, weight, bias=0):
    """Lower bounds of (W_y - W_k) x + (b_y - b_k), less the program's error in both logits, (B, K).

    A difference of weights is rounded: u T more, as one more product in each sum would cost.
    """
    (x, w_KI, b), n = in_float64(x_2BI, weight, bias + np.zeros_like(weight[:, 0])), weight.shape[1]
    low_BK = np.empty((len(y_B), len(weight)), x.dtype)
    for y in np.unique(y_B):
        low_BK[y_B == y], _ = affine(x[:, y_B == y], w_KI[y] - w_KI, b[y] - b, n + 1)
    if x_2BI.dtype == np.float32:
        error_BK = program_error(x, w_KI, b, n)
        low_BK -= error_BK + np.take_along_axis(error_BK, y_B[:, None], 1)
    return low_BK
