"""Perturbation sizes, exact: eps is a fraction of the pixel range [0, 1] until the last moment.

A decimal such as 8/255 = 0.03137... is not a floating-point number, and rounding it *down* turns a
certificate into a claim about a smaller ball. So eps stays a Fraction and is rounded up once, where
arithmetic needs a float.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from fractions import Fraction

from zoo.errors import UsageError

Eps = Fraction | float | int | str
_MAX_SHOWN = 60  # characters of it in a message
_HUGE_EXPONENT = re.compile(r"[eE][+-]?[\d_]{4}")


def parse_eps(eps: Eps) -> Fraction:
    """Exact value of eps in pixel units; a float means the decimal that it prints.

    >>> parse_eps(0.3), parse_eps("8/255")
    (Fraction(3, 10), Fraction(8, 255))

    Raises:
        UsageError: not a number, or outside [0, 1].
    """
    try:
        # Fraction("1e999999999") would build that integer.
        if isinstance(eps, bool) or (isinstance(eps, str) and _HUGE_EXPONENT.search(eps)):
            raise ValueError
        value = Fraction(repr(float(eps)) if isinstance(eps, float) else eps)
    except (ValueError, ZeroDivisionError, TypeError, OverflowError):
        raise UsageError(
            f"eps {_shown(eps)} is not a number\n"
            "  eps is in pixel units: write 0.3, 8/255 or a fractions.Fraction"
        ) from None
    if not 0 <= value <= 1:
        raise UsageError(
            f"eps {_shown(eps)} is outside [0, 1]\n"
            "  eps is a share of the pixel range: 8 of 255 grey levels is 8/255, not 8"
        )
    return value


def _shown(eps: Eps) -> str:
    try:
        text = repr(eps) if isinstance(eps, str) else str(eps)
    except ValueError:  # Python writes out no integer of thousands of digits
        return "of thousands of digits"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def parse_eps_list(texts: Iterable[Eps]) -> list[Fraction]:
    """Several eps; "start:stop:count" is that many evenly spaced values, both ends included.

    >>> [str(eps) for eps in parse_eps_list(["0:0.4:3", "8/255"])]
    ['0', '1/5', '2/5', '8/255']
    """
    values: list[Fraction] = []
    for text in texts:
        if not (isinstance(text, str) and ":" in text):
            values.append(parse_eps(text))
            continue
        parts = text.split(":")
        if len(parts) != 3 or not parts[2].isdecimal() or int(parts[2]) < 2:
            raise UsageError(
                f"eps range {text!r} is not start:stop:count\n  for 41 values write 0:0.4:41"
            )
        start, stop, steps = parse_eps(parts[0]), parse_eps(parts[1]), int(parts[2]) - 1
        values += [start + (stop - start) * Fraction(i, steps) for i in range(steps + 1)]
    return values


def format_eps(eps: Fraction) -> str:
    """Shortest usual spelling: a short decimal where it is exact, else n/255, else the fraction.

    >>> format_eps(Fraction(3, 10)), format_eps(Fraction(8, 255)), format_eps(Fraction(1, 7))
    ('0.3', '8/255', '1/7')
    """
    decimal = f"{float(eps):.6f}".rstrip("0").rstrip(".")
    if Fraction(decimal) == eps:
        return decimal
    levels = eps * 255
    return f"{levels}/255" if levels.denominator == 1 else str(eps)


def round_up(value: Fraction) -> float:
    """Smallest float64 that is not below an exact value."""
    rounded = float(value)
    # SOUND: float() rounds to nearest, which may fall below the exact value.
    return rounded if Fraction(rounded) >= value else math.nextafter(rounded, math.inf)


def round_down(value: Fraction) -> float:
    """Largest float64 that is not above an exact value."""
    return -round_up(-value)
