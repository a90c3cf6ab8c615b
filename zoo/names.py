"""Names: a recipe, its weights, card and results row share ``arch.data_eps<e>[_variant]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from zoo.eps import parse_eps
from zoo.errors import UsageError

# The "_255" branch comes first: otherwise "8_255" would read as eps 8, variant "255".
# ASCII: \d means the digits of every script otherwise. And fullmatch, since $ allows a line break.
_NAME = re.compile(
    r"([a-z0-9_]+)\.([a-z0-9_]+?)_eps(\d+_255|\d+(?:\.\d+)?)(?:_([a-z0-9_]+))?", re.ASCII
)
_MAX_LENGTH = 80  # a name is that of a folder too


@dataclass(frozen=True)
class ModelName:
    """The parts of a name; ``eps`` is the claim, in pixel units."""

    arch: str
    data: str
    eps: Fraction
    variant: str | None


def is_name(text: str) -> bool:
    """Whether a text has the form of a model name."""
    return len(text) <= _MAX_LENGTH and _NAME.fullmatch(text) is not None


def parse_name(text: str) -> ModelName:
    """Split a model name into its parts.

    >>> parse_name("sortnet_mlp6.cifar10_jpeg_eps8_255").eps
    Fraction(8, 255)

    Raises:
        UsageError: a text of another form.
    """
    match = _NAME.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if not match:
        raise UsageError(
            f"{text[:200]!r} is not a model name\n"
            "  names read arch.data_eps<e>[_variant], for example linf_dist_mlp5.mnist_eps0.3"
        )
    arch, data, eps, variant = match.groups()
    return ModelName(arch, data, parse_eps(eps.replace("_", "/")), variant)


def contradiction(name: str, arch: str, data: str, eps: Fraction) -> str | None:
    """What a name says otherwise than the thing it names, or None.

    Images of a user's own, folder:PATH or parquet:PATH, are called as their owner likes.

    Raises:
        UsageError: a text that is no model name.
    """
    parts = parse_name(name)
    for what, said, found in (
        ("architecture", parts.arch, arch),
        ("dataset", parts.data, parts.data if ":" in data else data),
        ("eps", parts.eps, eps),
    ):
        if said != found:
            return f"its name says {what} {said}, it has {found}"
    return None
