"""A bound by its name, which may choose its lines."""

from __future__ import annotations

from inspect import signature

from zoo.bound_names import parse_bound
from zoo.bounds.base import Bound, bounds
from zoo.errors import UsageError
from zoo.relaxations import relaxations


def create_bound(name: str) -> Bound:
    """The bound of a name: ``crown_ibp``, ``crown_ibp:one_c``, ``deepz:slanted:kappa=0.3``.

    Raises:
        UsageError: no bound, relaxation or setting of that name; a bound that takes no lines, or
            not these.
    """
    if not isinstance(name, str):
        raise UsageError(f"a bound goes by its name, as in docs/bounds.md, not by {name!r}")
    spec = parse_bound(name)
    if spec.relaxation is None:
        return bounds[spec.family]()
    if not _takes_lines(bounds[spec.family]):
        fitting = (own for own, kind in bounds.items() if _takes_lines(kind))
        raise UsageError(
            f"bound {name!r}: {spec.family} takes no lines of one's choice\n"
            f"  these do: {', '.join(fitting)}"
        )
    lines = relaxations.build({"name": spec.relaxation, **spec.settings})
    bound = bounds.build({"name": spec.family, "lines": lines})
    bound.name = name
    return bound


def _takes_lines(kind: type[Bound]) -> bool:
    return "lines" in signature(kind).parameters
