"""Safetensors files, checked byte by byte before a library sees them; needs no torch.

A file is 8 bytes with the length n of its header, the header (a JSON object: name to dtype, shape
and the offsets of its bytes), then the bytes: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from zoo.errors import IntegrityError
from zoo.storage.read import shown, strict_json

MAX_HEADER_BYTES = 1 << 20  # 100 bytes a tensor: ten thousand tensors
MAX_FILE_BYTES = 1 << 32  # the largest net of the papers has half a gigabyte
_LENGTH_BYTES = 8
_ITEM_BYTES = {"F32": 4, "U16": 2, "I32": 4}
_KEYS = {"dtype", "shape", "data_offsets"}
_MAX_PROBLEMS = 5
_MAX_DIMENSIONS = 8  # the product of a million sizes would take minutes


@dataclass(frozen=True)
class Slot:
    """What a header says of a tensor."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"

    @property
    def num_bytes(self) -> int:
        """Bytes of its values."""
        return _ITEM_BYTES[self.dtype] * math.prod(self.shape)


def check_format(content: bytes, path: Path) -> dict[str, Slot]:
    """The tensors of a file that is, to the last byte, a header and the tensors it lists.

    Raises:
        IntegrityError: a header that is cut, too long or not strict JSON; other keys; other types
            than F32, U16 and I32; offsets that overlap, or leave bytes that belong to no tensor.
    """
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    if len(content) < _LENGTH_BYTES or start > len(content):
        _refuse(path, "it ends before its header does")
    if start - _LENGTH_BYTES > MAX_HEADER_BYTES:
        _refuse(path, f"its header has more than {MAX_HEADER_BYTES:,} bytes")
    head = content[_LENGTH_BYTES:start]
    if head[:1] != b"{":
        _refuse(path, "its header does not begin with {")
    try:
        header = strict_json(head)
    except ValueError as error:
        _refuse(path, f"its header is not strict JSON: {error}")
    _check_metadata(header.pop("__metadata__", {}), path)
    slots: dict[str, Slot] = {}
    ends: list[tuple[int, int]] = []
    for name, entry in header.items():
        slots[name], offsets = _slot(name, entry, path)
        ends.append(offsets)
    at = 0
    for begin, end in sorted(ends):
        if begin != at:
            _refuse(path, f"its tensors {'overlap' if begin < at else 'leave a gap'} at byte {at}")
        at = end
    if start + at != len(content):
        _refuse(path, f"its tensors end at byte {start + at}, the file at {len(content)}")
    return slots


def check_schema(found: dict[str, Slot], wanted: dict[str, Slot], path: Path) -> None:
    """Refuse tensors of other names, types or shapes than an architecture has.

    Raises:
        IntegrityError: naming the first few.
    """
    problems = [f"missing {key}" for key in sorted(wanted.keys() - found.keys())]
    problems += [f"unexpected {shown(key)}" for key in sorted(found.keys() - wanted.keys())]
    problems += [
        f"{key} is {found[key]}, the architecture has {wanted[key]}"
        for key in wanted
        if key in found and found[key] != wanted[key]
    ]
    refuse_problems(problems, path)


def refuse_problems(problems: list[str], path: Path) -> None:
    """Raise one error of a few lines, if there are problems.

    Raises:
        IntegrityError: naming the first few.
    """
    if problems:
        more = len(problems) - _MAX_PROBLEMS
        lines = problems[:_MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
        raise IntegrityError("\n  ".join([f"{path} does not fit its model", *lines]))


def _slot(name: str, entry: Any, path: Path) -> tuple[Slot, tuple[int, int]]:
    if not isinstance(entry, dict) or entry.keys() != _KEYS:
        _refuse(path, f"its entry {shown(name)} needs dtype, shape and data_offsets, and no more")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        _refuse(path, f"{shown(name)} is {shown(dtype)}: weights are {', '.join(_ITEM_BYTES)}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        _refuse(path, f"the shape and offsets of {shown(name)} must be whole numbers from 0 on")
    slot, (begin, end) = Slot(dtype, tuple(shape)), offsets
    if end - begin != slot.num_bytes:
        _refuse(path, f"{shown(name)} has {end - begin} bytes where its shape needs another number")
    return slot, (begin, end)


def _are_sizes(value: Any) -> bool:
    # bool is an int to Python, and true is no size.
    short = isinstance(value, list) and len(value) <= _MAX_DIMENSIONS
    return short and all(type(item) is int and item >= 0 for item in value)


def _check_metadata(value: Any, path: Path) -> None:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        _refuse(path, "its __metadata__ must map texts to texts")


def _refuse(path: Path, reason: str) -> NoReturn:
    raise IntegrityError(
        f"{path} is not a safetensors file that we read: {reason}\n  fetch it again"
    )
