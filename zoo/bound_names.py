"""Names of bounds: ``family``, or ``family:relaxation[:setting=value ...]`` to choose its lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zoo.errors import UsageError


@dataclass(frozen=True)
class BoundSpec:
    """The parts of a bound's name.

    Attributes:
        family: a registered bound.
        relaxation: the lines that it takes in place of its own, None for its own.
        settings: arguments of that relaxation.
    """

    family: str
    relaxation: str | None = None
    settings: Mapping[str, float] = field(default_factory=dict)


def parse_bound(name: str) -> BoundSpec:
    """Take a name apart, whether or not there are such things.

    >>> parse_bound("crown_ibp:soft:gamma=10")
    BoundSpec(family='crown_ibp', relaxation='soft', settings={'gamma': 10.0})

    Raises:
        UsageError: a setting that is no number, or that is there twice.
    """
    family, *rest = name.split(":")
    if not rest:
        return BoundSpec(family)
    relaxation, *texts = rest
    settings = [_setting(name, text) for text in texts]
    if len(dict(settings)) < len(settings):
        raise UsageError(f"bound {name!r} has a setting twice")
    return BoundSpec(family, relaxation, dict(settings))


def _setting(name: str, text: str) -> tuple[str, float]:
    key, _, value = text.partition("=")
    try:
        if key == "name":  # as what it is a setting of is called
            raise ValueError
        return key, float(value)
    except ValueError:
        raise UsageError(
            f"bound {name!r}: {text!r} is no setting\n"
            "  write one as setting=number: crown_ibp:soft:gamma=10"
        ) from None
