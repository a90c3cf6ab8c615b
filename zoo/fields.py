"""Field types of recipes and cards: numbers as people write them, eps exact, no unknown keys."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
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

from zoo.bound_names import parse_bound
from zoo.eps import format_eps, parse_eps
from zoo.errors import UsageError, unknown
from zoo.registry import Registry, registered_names


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


def known_bound(name: str) -> str:
    """The name of a bound that can be built, as it is; torch is imported for lines alone.

    Raises:
        UsageError: no bound or relaxation of that name, lines that the bound does not take, or
            settings that they do not have.
    """
    spec, known = parse_bound(name), registered_names("zoo.bounds")
    if spec.family not in known:
        raise unknown("bound", spec.family, known, see="docs/bounds.md", error=UsageError)
    if spec.relaxation is not None:
        from zoo.bounds import create_bound

        create_bound(name)
    return name


BoundName = Annotated[str, AfterValidator(known_bound)]

# An exponent may be infinite.
Extended = Annotated[float, BeforeValidator(parse_number), AfterValidator(_not_nan)]
EpsField = Annotated[
    Fraction, BeforeValidator(parse_eps), PlainSerializer(format_eps, return_type=str)
]

_SCHEDULE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def _weight(value: Any) -> float | str:
    """A finite number, or a name."""
    try:
        number = parse_number(value)
    except ValueError:
        if isinstance(value, str) and _SCHEDULE_NAME.fullmatch(value):
            return value
        number = None
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise ValueError(f"{value!r} is neither a number nor the name of a schedule")
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return float(number)


# A factor: a number, or the schedule that has it at each step.
Weight = Annotated[float | str, BeforeValidator(_weight)]


def named(*weights: float | str) -> frozenset[str]:
    """Schedules that are named by weights."""
    return frozenset(weight for weight in weights if isinstance(weight, str))


def value_of(weight: float | str, knobs: Mapping[str, float]) -> float:
    """The number, or the present value of the schedule."""
    return knobs[weight] if isinstance(weight, str) else weight


def by_name(registry: Registry[Any]) -> BeforeValidator:
    """Validator of a field that holds one of several records: the mapping's name says which."""

    def find(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        if "name" not in value:
            raise ValueError(f"needs a name, one of {', '.join(registry)}")
        return registry[str(value["name"])].model_validate(value)

    return BeforeValidator(find)
