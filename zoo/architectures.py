"""The zoo's architectures by name, and the arguments that each takes. No torch, so that recipes and
cards are checked without it; a test holds this table against timm's registry.
"""

from __future__ import annotations

from collections.abc import Iterable

from zoo.errors import UsageError, unknown

# What a recipe may set; sizes and the number of classes come from the data.
_OWN = {f"linf_dist_mlp{depth}": ("width", "mean", "std") for depth in range(3, 8)}
_SIZES = ("num_classes", "in_chans", "img_size", "folded", "edges")


def architectures() -> list[str]:
    """Names of all architectures."""
    return sorted(_OWN)


def check_architecture(name: str, arguments: Iterable[str], *, sizes: bool = False) -> None:
    """Refuse a name or argument that is not ours: timm knows a thousand more of both.

    Args:
        sizes: whether image size, channels, classes and form may be among the arguments.

    Raises:
        UsageError: unknown architecture, or an argument that it does not take.
    """
    if name not in _OWN:
        raise unknown("architecture", name, _OWN, see="zoo recipe ls", error=UsageError)
    known = [*_OWN[name], *(_SIZES if sizes else ())]
    for argument in arguments:
        if argument not in known:
            see = f"{name} takes {', '.join(known)}"
            raise unknown("argument", argument, known, see=see, error=UsageError)
