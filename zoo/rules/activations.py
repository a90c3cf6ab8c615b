"""Rules of torch's own activations, ReLU and Tanh.

Shapes: tensors have the shape of the layer's input or output.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.rounding import NAIVE, Ends, Reading
from zoo.rules.forward_error import Rounded, forward_error
from zoo.rules.interval import interval

# SOUND: assumed of every library that may run here. Makers state 1 unit in the last place (SLEEF,
# MKL) or 2 (glibc, CUDA); tests measure what this machine does.
TANH_UNITS = 4


@interval.register(nn.ReLU)
def _(layer: nn.ReLU, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    return lower.relu(), upper.relu()  # exact; the derivative of a clamp is slower


@forward_error.register(nn.ReLU)
def _(layer: nn.ReLU, x: Rounded, unit: float) -> Rounded:
    return x.after(layer(x.value), x.error, 0)


@interval.register(nn.Tanh)
def _(layer: nn.Tanh, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    # Not clamped to [-1, 1]: a library that is a unit off may leave it.
    return reading.function(layer, lower, upper, TANH_UNITS)
