"""The box: all images within eps of one, the set that every certificate speaks of.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from zoo.eps import Eps, parse_eps, round_down, round_up
from zoo.errors import UsageError
from zoo.inputs import check_pixels
from zoo.rounding import Ends, cast_down, cast_up, next_down, next_up


@dataclass(frozen=True)
class Box:
    """{x' : |x' - x|_inf <= eps}, intersected with [0, 1]^d when clipped, in pixel units.

    The ball is centred at the stored floating-point pixels, exactly.

    Attributes:
        x_BCHW: centre.
        eps: radius, exact.
        lower_BCHW, upper_BCHW: ends, rounded outward: they hold the whole real box.
        clip: whether the box is cut to [0, 1].
    """

    x_BCHW: Tensor
    eps: Fraction
    lower_BCHW: Tensor
    upper_BCHW: Tensor
    clip: bool

    def inner(self) -> tuple[Tensor, Tensor]:
        """Ends rounded inward: every float image between them lies in the real box.

        An attacker stays inside these; only a point of the real box refutes a certificate.
        """
        radius = round_down(self.eps)
        lower = cast_up(next_up(self.x_BCHW.double() - radius), self.x_BCHW.dtype)
        upper = cast_down(next_down(self.x_BCHW.double() + radius), self.x_BCHW.dtype)
        if self.clip:
            lower, upper = lower.clamp(0, 1), upper.clamp(0, 1)
        return torch.minimum(lower, self.x_BCHW), torch.maximum(upper, self.x_BCHW)


def box(x_BCHW: Tensor, eps: Eps, clip: bool = True) -> Box:
    """Box around a batch of images.

    Args:
        x_BCHW: pixels in [0, 1], of a floating-point dtype.
        eps: radius in pixel units, 0.3, "8/255" or a Fraction.
        clip: cut the box to valid pixels [0, 1].

    Raises:
        UsageError: eps is not in [0, 1]; pixels are NaN, outside [0, 1] or integers.
    """
    radius = parse_eps(eps)
    check_pixels(x_BCHW)
    # SOUND: subtract at least eps, then step past the subtraction's own rounding.
    x = x_BCHW.double()
    lower = cast_down(next_down(x - round_up(radius)), x_BCHW.dtype)
    upper = cast_up(next_up(x + round_up(radius)), x_BCHW.dtype)
    if clip:
        lower, upper = lower.clamp(0, 1), upper.clamp(0, 1)
    return Box(x_BCHW, radius, lower, upper, clip)


def naive_ends(x_BCHW: Tensor, eps: float) -> Ends:
    """Ends of the clipped box, rounded to nearest: for training alone, in a fraction of the time.

    A real pixel may lie outside by half a unit in the last place, so nothing is certified by them.

    Raises:
        UsageError: eps is not in [0, 1].
    """
    if not 0 <= eps <= 1:
        raise UsageError(f"eps = {eps:g} is outside [0, 1]: it is in pixel units")
    return (x_BCHW - eps).clamp(0, 1), (x_BCHW + eps).clamp(0, 1)
