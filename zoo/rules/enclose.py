"""Enclose rule: the image of zonotopes under a layer, as a zonotope.

``enclose(layer, zonotopes, ends, relax, remainder) -> Zonotope``: ends hold each input, and may be
narrower than the zonotope itself; remainder says what becomes of widths that are new
(zoo.rounding.zonotope). Affine layers need none: zoo.rules.affine says all of it.

Shapes: tensors have the shape of the layer's input or output.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from zoo.errors import UsageError
from zoo.relaxations import lines
from zoo.rounding import Ends, Remainder, Zonotope
from zoo.rules.dispatch import SEVERAL, Rule
from zoo.rules.pull import Relax

enclose: Rule[..., Zonotope] = Rule("enclose", SEVERAL)


@enclose.register(nn.ReLU)
def _(
    layer: nn.ReLU,
    zonotopes: Sequence[Zonotope],
    ends: Sequence[Ends],
    relax: Relax,
    remainder: Remainder,
) -> Zonotope:
    """Between two lines of one slope, whose distance is new."""
    (zonotope,), ((lower, upper),) = zonotopes, ends
    slopes = relax(lower, upper)
    if slopes.lower is not slopes.upper:
        raise UsageError(
            "a zonotope needs a relaxation whose two lines have one slope\n"
            "  take one that is parallel, same_slope for example"
        )
    found = lines(slopes, lower, upper, rigorous=zonotope.rigorous)
    # SOUND: written so that NaN is bent. A dead neuron is a line too, but for other slopes not one
    # that it lies on: its width counts as any other.
    slope = found.lower_slope
    bent = ~(((lower >= 0) & (slope == 1)) | ((upper <= 0) & (slope == 0)))
    return zonotope.band(slope, found.lower_offset, found.upper_offset, bent, remainder)
