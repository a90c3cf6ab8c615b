"""The unit roundoff: how far one rounded operation is from the exact one.

Round to nearest: fl(a) = a (1 + d) = a / (1 + d'), |d|, |d'| <= u, so |fl(a) - a| <= u |fl(a)| too
(Higham 2002, Accuracy and Stability of Numerical Algorithms, Theorems 2.2 and 2.3).
"""

from __future__ import annotations

import torch

# SOUND: covers a subnormal result of float32 or float64 that a kernel flushes to zero, once per
# operation. Without flushing, sums and differences that are subnormal are exact.
FLUSH = 2.0**-125


def unit_roundoff(dtype: torch.dtype) -> float:
    """Half the gap between 1 and the next number: 2**-24 for float32, 2**-53 for float64."""
    return torch.finfo(dtype).eps / 2


def smallest_normal(dtype: torch.dtype) -> float:
    """The error that underflow of a result may add, whether subnormal results are kept or flushed.

    Operands are another matter: where subnormal ones are flushed nothing is certified.
    """
    return torch.finfo(dtype).tiny
