"""Lipschitz bound: one forward pass is the proof, at every eps at once.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.bounds.base import Bound, Margins, bounds
from zoo.boxes import Box
from zoo.eps import round_up
from zoo.errors import UsageError
from zoo.inputs import check_labels, check_pixels, classes_of, fitting, logits_of
from zoo.margins import margins_of, worst
from zoo.rounding import unit_roundoff
from zoo.rules import Rounded, check_certifiable, forward_error


@dataclass(frozen=True)
class Line:
    """Margins that fall linearly: margins_BK(eps) = start_BK - slope * eps, in float64."""

    start_BK: Tensor
    slope: float

    def at(self, eps: Fraction, y_B: Tensor) -> Tensor:
        """margins_BK at eps, column y 0."""
        loss = round_up(Fraction(self.slope) * eps)
        return (self.start_BK - loss).scatter(1, y_B[:, None], 0.0)

    def radius(self, y_B: Tensor) -> Tensor:
        """Largest eps with all margins positive, rounded down; 0 if there is none."""
        return (worst(self.start_BK, y_B) / self.slope * (1 - 2.0**-50)).clamp_min(0)


@bounds.register("lipschitz")
class Lipschitz(Bound):
    """margins - 2 * L * eps, for a model whose logits are L-Lipschitz in l_inf on raw pixels.

    L = model.lipschitz; the box's clipping to [0, 1] is not used. Rounding is accounted for by a
    running bound E on the error of each logit (see zoo.rules.forward_error): with u the unit
    roundoff and K the number of roundings on a path,

        exact function:     m - (E_y + E_k) - 2 L eps
        program at any x':  m - (E_y + E_k)(2 + 4 K u) - (2 + 3 K u) L eps

    The second holds since a rounding error is at most u times a computed magnitude, which changes
    by at most L eps + E(x) + E(x') within the ball: E(x') <= E(x) + K u (L eps + E(x) + E(x')), so
    E(x') <= E(x)(1 + 4 K u) + 1.5 K u L eps while K u <= 0.1. Each is lessened by
    8 u (|f_y| + |f_k| + 2 L eps), u = 2^-53, for the float64 arithmetic of the test itself.

    That a magnitude changes so little wants a word where layers do more than pass on the largest
    error. Each layer passes errors on by an operator P (a maximum, |W|, a mean) that is monotone
    and subadditive, and P bounds the change of its own magnitudes too: those of a sum, |W| |x| +
    |b|, change by at most |W| times the change of x. So where x has changed by at most G eps + e(x)
    + e(x'), G the gain and e the errors up to there, all that follows makes of it at most P(G eps)
    + P(e(x)) + P(e(x')), P being that of all layers from there on, which is at most L eps + E(x) +
    E(x'): what P makes of earlier errors is a part of E, or E allows for more than P makes of them,
    as behind order statistics. A layer that errs by n u times a magnitude (1.01 (n + 1) u for a
    sum of n products and a bias) counts as n roundings.
    """

    name = "lipschitz"
    tells_radius: ClassVar[bool] = True

    def __call__(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        check_certifiable(model)
        return _naive(model, logits_of(model, box.x_BCHW), box.eps, y_B)

    def real(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        return self.real_line(model, box.x_BCHW, y_B).at(box.eps, y_B)

    def deployed(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        return self.deployed_line(model, box.x_BCHW, y_B)[0].at(box.eps, y_B)

    def real_line(self, model: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Line:
        """Margins of the exact function, evaluated in the model's dtype (float64 for tightness)."""
        logits = _logits(model, x_BCHW)
        return _line(logits, y_B, errors=1.0, slope=2 * lipschitz_constant(model))

    def deployed_line(self, model: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> tuple[Line, Tensor]:
        """Margins of the program on any float image of the ball, and its logits at the centre."""
        logits = _logits(model, x_BCHW)
        growth = logits.num_roundings * unit_roundoff(logits.value.dtype)
        if growth > 0.1:
            raise UsageError("bound lipschitz: the net is too deep for its error bound, K u > 0.1")
        slope = (2 + 3 * growth) * lipschitz_constant(model)
        return _line(logits, y_B, errors=2 + 4 * growth, slope=slope), logits.value

    def sweep(
        self,
        model: nn.Module,
        model64: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        radii: Sequence[Fraction],
        clip: bool,
    ) -> Iterator[Margins]:
        real = self.real_line(model64, x_BCHW.double(), y_B)
        deployed, logits_BK = self.deployed_line(model, x_BCHW, y_B)
        radius_B = torch.minimum(real.radius(y_B), deployed.radius(y_B))
        for eps in radii:
            yield Margins(
                _naive(model, logits_BK, eps, y_B),
                real.at(eps, y_B),
                deployed.at(eps, y_B),
                radius_B,
            )


def lipschitz_constant(model: nn.Module) -> float:
    """L of a model all of whose logits are L-Lipschitz in l_inf on raw pixels, at p = inf.

    Raises:
        UsageError: a model that states none.
    """
    constant = getattr(model, "lipschitz", None)
    # SOUND: a constant that is negative or NaN would let margins grow with eps.
    if not (isinstance(constant, float) and 0 < constant < math.inf):
        raise UsageError(
            f"{type(model).__name__} states no positive Lipschitz constant (model.lipschitz)\n"
            "  use another bound, interval for example"
        )
    return constant


def _naive(model: nn.Module, logits_BK: Tensor, eps: Fraction, y_B: Tensor) -> Tensor:
    """margins - 2 L eps in the logits' dtype, rounding ignored."""
    loss = 2 * lipschitz_constant(model) * round_up(eps)
    return (_margins(logits_BK, y_B) - loss).scatter(1, y_B[:, None], 0)


def _margins(logits_BK: Tensor, y_B: Tensor) -> Tensor:
    check_labels(y_B, logits_BK, classes_of(logits_BK.shape))
    return margins_of(logits_BK, y_B)


def _logits(model: nn.Module, x_BCHW: Tensor) -> Rounded:
    """Logits with their error bounds; the pixels themselves are exact."""
    check_certifiable(model)
    check_pixels(x_BCHW)
    no_error = torch.zeros((), dtype=torch.float64, device=x_BCHW.device)
    with fitting(model, [x_BCHW], x_BCHW):
        logits = forward_error(model, Rounded(x_BCHW, no_error, 0), unit_roundoff(x_BCHW.dtype))
    constant = lipschitz_constant(model)
    # SOUND: the layers know their gains; a model may state a larger constant, never a smaller one.
    if constant < logits.gain:
        raise UsageError(
            f"{type(model).__name__} states the Lipschitz constant {constant:g}, "
            f"its layers have {float(min(logits.gain, Fraction(10) ** 300)):g}"
        )
    _check_range(model, logits.growth, x_BCHW.dtype)
    return logits


def _check_range(model: nn.Module, growth: Fraction, dtype: torch.dtype) -> None:
    """Refuse weights with which the program may overflow somewhere in a ball, eps <= 1.

    A layer of gain g makes of numbers up to M numbers up to g M plus its largest weight, bias or
    mean, partial sums of |w| |x| + |b| included. So none on the way is larger than the product of
    all max(1, g), the growth, times |x'| + eps plus the largest entries of all tensors, times what
    rounding adds; half-sums are twice as large before they are halved.
    """
    # A layer that stands in two places counts twice.
    named = [*model.named_parameters(remove_duplicate=False)]
    named += [*model.named_buffers(remove_duplicate=False)]
    floats = [tensor.detach() for _, tensor in named if tensor.is_floating_point()]
    largest = sum(torch.linalg.vector_norm(tensor, math.inf).item() for tensor in floats)
    # SOUND: beyond that, logits may be infinite where the error bound speaks of numbers.
    limit = Fraction(torch.finfo(dtype).max)
    if not (math.isfinite(largest) and 4 * growth * (2 + Fraction(largest)) < limit):
        raise UsageError(f"bound lipschitz: with weights this large {dtype} may overflow")


def _line(logits: Rounded, y_B: Tensor, errors: float, slope: float) -> Line:
    f_BK = logits.value.double()
    # SOUND: the errors are themselves float64 sums of at most a few thousand roundings.
    error_BK = logits.error.expand_as(f_BK) * (errors * (1 + 2.0**-20))
    unit = 8 * unit_roundoff(torch.float64)
    start_BK = _margins(f_BK, y_B)
    for term_BK in (error_BK, unit * f_BK.abs()):
        start_BK = start_BK - (term_BK + term_BK.gather(1, y_B[:, None]))
    return Line(start_BK, slope * (1 + unit))
