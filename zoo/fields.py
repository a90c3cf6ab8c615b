"""Field types of recipes and cards: numbers as people write them, eps exact, no unknown keys."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)

from zoo.eps import format_eps, parse_eps
from zoo.errors import UsageError, unknown
from zoo.registry import registered_names


class Strict(BaseModel):
    """A frozen record that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


def parse_number(value: Any) -> Any:
    """A number from what YAML left a string: 1e-3, 8/255, inf."""
    if not isinstance(value, str):
        return value
    try:
        return float(Fraction(value)) if "/" in value else float(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{value!r} is not a number") from None


Number = Annotated[float, BeforeValidator(parse_number), Field(allow_inf_nan=False)]


def _not_nan(value: float) -> float:
    if math.isnan(value):
        raise ValueError("nan is not a value")
    return value


def _known_bound(name: str) -> str:
    known = registered_names("zoo.bounds")
    if name not in known:
        raise unknown("bound", name, known, see="zoo certify --help", error=UsageError)
    return name


BoundName = Annotated[str, AfterValidator(_known_bound)]

# An exponent may be infinite.
Extended = Annotated[float, BeforeValidator(parse_number), AfterValidator(_not_nan)]
EpsField = Annotated[
    Fraction, BeforeValidator(parse_eps), PlainSerializer(format_eps, return_type=str)
]
