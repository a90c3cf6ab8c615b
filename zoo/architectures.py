"""The zoo's architectures by name, and the arguments that each takes. No torch, so that recipes and
cards are checked without it; a test holds this table against timm's registry.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from typing import Any

from zoo.errors import UsageError, unknown

_AVERAGE = "linf_average"
# What a recipe may set; sizes and the number of classes come from the data.
_MLP, _ORDER = ("width", "mean", "std"), ("rho", "k", "keep", "identity")
_HEAD = ("head_width",)
_DEPTHS = range(3, 8)
_OWN = {f"linf_dist_mlp{depth}": (*_MLP, "stem") for depth in _DEPTHS}
_PRUNED = dict.fromkeys(_OWN, ("edges",))
_OWN |= {f"linf_dist_hybrid{depth}": (*_MLP, *_HEAD, "crop") for depth in _DEPTHS}
_OWN |= {f"sortnet_mlp{depth}": _MLP + _ORDER for depth in _DEPTHS}
_OWN |= {f"sortnet_hybrid{depth}": _MLP + _HEAD + _ORDER for depth in _DEPTHS}
_OWN |= {f"group_sort_mlp{depth}": _MLP for depth in _DEPTHS}
_OWN |= {"linf_dist_conv5": ("channels", *_MLP, *_HEAD), "sortnet_crops5": _MLP + _HEAD + _ORDER}
_OWN |= dict.fromkeys(
    (
        *("conv1", "dm_small", "dm_medium", "cap_small", "cap_large", "cap_resnet"),
        *("conv_med", "conv_med_big", "cnn5", "cnn5_stride4", "cnn6", "cnn7", "cnn7_bn"),
    ),
    ("channels", *_MLP, "init"),
)
_OWN |= {"fc5": (*_MLP, "init"), "cnn3": ("channels", "mean", "std", "init")}
_OWN |= {_AVERAGE: ("members", "views")}
_FORM = "folded"
SIZES = ("num_classes", "in_chans", "img_size", _FORM)  # what the data says, and the form
# Said once, by the average, for all its members.
_SHARED = (*SIZES, "mean", "std")
_FEATURE = re.compile(r"raw|(mean|max|min)(2|4|8)|(difference|luma|opponent)(1|2|4|8)", re.ASCII)
INITS = ("default", "narrow")
VIEWS = ("same", "flip", "up", "down", "left", "right")

_COUNTS = ("width", "head_width", "channels", "crop", "num_classes", "in_chans", "img_size")
_MAX_MEMBERS = 64
MAX_ORDER = 64  # order statistics; their weights are worked out in fractions
_LARGEST_NUMBER = sys.float_info.max
_MAX_SIZE = 2**31 - 1  # of one dimension; what a net needs in all is compared with its file


def architectures() -> list[str]:
    """Names of all architectures."""
    return sorted(_OWN)


def check_architecture(name: str, arguments: Collection[str], *, sizes: bool = False) -> None:
    """Refuse a name or argument that is not ours: timm knows a thousand more of both.

    Args:
        sizes: whether image size, channels, classes and form may be among the arguments.

    Raises:
        UsageError: unknown architecture, or an argument that it does not take.
    """
    if name not in _OWN:
        raise unknown("architecture", name, _OWN, see="zoo recipe ls", error=UsageError)
    known = [*_OWN[name], *(SIZES if sizes else (_FORM,))]
    if sizes or _FORM in arguments:
        known += _PRUNED.get(name, ())
    for argument in arguments:
        if argument not in known:
            see = f"{name} takes {', '.join(known)}"
            raise unknown("argument", argument, known, see=see, error=UsageError)


def check_values(arguments: Mapping[str, Any]) -> None:
    """Refuse values that a card cannot mean, before anything is made of that size.

    Raises:
        UsageError: a size that is no whole number above 0, another form or normalisation.
    """
    for key, value in arguments.items():
        if key in _COUNTS:
            fits, wanted = _is_size(value), "a size must be positive, a whole number"
        elif key == "edges":
            fits = isinstance(value, list | tuple) and all(map(_is_size, value))
            wanted = "it must list positive whole numbers"
        elif key == "k":
            fits = _is_size(value) and value <= MAX_ORDER
            wanted = f"it must be a whole number from 1 to {MAX_ORDER}"
        elif key == "rho":
            fits, wanted = _is_number(value) and 0 <= value < 1, "it must be a number in [0, 1)"
        elif key == "keep":
            fits, wanted = _is_number(value) and 0 < value <= 1, "it must be a number in (0, 1]"
        elif key == "members":
            fits = isinstance(value, list | tuple) and 0 < len(value) <= _MAX_MEMBERS
            wanted = f"it must list 1 to {_MAX_MEMBERS} nets"
        elif key == "views":
            fits = isinstance(value, list | tuple) and _are_views(value)
            wanted = f"it must list some of {', '.join(VIEWS)}, each once"
        elif key == "stem":
            fits = isinstance(value, list | tuple) and _are_features(value)
            wanted = (
                "it must list raw, mean2, difference1, max2, min2, luma1, opponent1 or the like"
            )
        elif key == "init":
            fits, wanted = value in INITS, f"it must be one of {', '.join(INITS)}"
        elif key in ("folded", "identity"):
            fits, wanted = isinstance(value, bool), "it must be true or false"
        elif key == "mean":
            several = value if isinstance(value, list | tuple) else [value]
            fits, wanted = all(map(_is_number, several)), "it must be one number or a list of them"
        else:
            fits, wanted = _is_number(value), "it must be a finite number"
        if not fits:
            raise UsageError(f"{key} = {ascii(value)[:60]}: {wanted}")
    for member in arguments.get("members", ()):
        _check_member(member)
    channels = arguments.get("in_chans", 1)
    if channels > 2**16:  # something is made of it outside of tensors
        raise UsageError(f"in_chans = {channels} is more than any image has")


def _check_member(member: Any) -> None:
    """As strict with a net within an average as with one that stands alone."""
    fits = isinstance(member, Mapping) and member.keys() == {"arch", "args"}
    if not (fits and isinstance(member["arch"], str) and isinstance(member["args"], Mapping)):
        raise UsageError(
            f"members: {ascii(member)[:60]} is not of the form {{arch: .., args: {{..}}}}"
        )
    arch, arguments = member["arch"], member["args"]
    if arch == _AVERAGE:
        raise UsageError("members: an average has no averages among its members")
    check_architecture(arch, arguments, sizes=True)
    said = sorted(arguments.keys() & {*_SHARED})
    if said:
        raise UsageError(f"members: {arch} has {', '.join(said)}, which only the average says")
    check_values(arguments)


def _are_views(value: Any) -> bool:
    known = all(isinstance(view, str) and view in VIEWS for view in value)
    return known and 0 < len(value) == len({*value})


def _are_features(value: Any) -> bool:
    known = all(isinstance(name, str) and _FEATURE.fullmatch(name) for name in value)
    return known and 0 < len(value) == len({*value})


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value <= _MAX_SIZE


def _is_number(value: Any) -> bool:
    # An integer may have more digits than any float.
    return type(value) in (int, float) and abs(value) <= _LARGEST_NUMBER
