"""Read small files that others wrote: bounded, once, and JSON with nothing left open to readings.

Parsers differ in what they make of a key given twice, of NaN or of half a character. A file that
two programs can read in two ways is refused here.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any, NoReturn

from zoo.errors import IntegrityError

# A card is some 5 kB and an entry of the index 300 bytes; parsing this much takes 20 ms.
MAX_JSON_BYTES = 1 << 20
_MAX_INT_DIGITS = 19
# Terminals obey them; a line break or a tab in a text is harmless.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder; False, not an error, for what cannot be a path at all.

    pathlib raises for a name of 300 characters, or in a folder that may not be looked into.
    """
    return os.path.isdir(path)  # noqa: PTH112


def read_bounded(path: Path, limit: int) -> bytes:
    """The whole of a file, read once.

    Raises:
        IntegrityError: more bytes than the limit, or a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # One byte more than there should be: a file can grow while it is read.
            content = file.read(size + 1) if size <= limit else b""
    except OSError as error:
        raise IntegrityError(
            f"{path} cannot be read: {error.strerror}\n  check its permissions, or fetch it again"
        ) from None
    if size > limit:
        raise IntegrityError(
            f"{path} has {size:,} bytes: no file of its kind has more than {limit:,}\n"
            "  it is not what it should be: fetch it again"
        )
    if len(content) != size:
        raise IntegrityError(f"{path} changed while it was read\n  try again")
    return content


def strict_json(content: bytes) -> dict[str, Any]:
    """A JSON object of which there is one reading only.

    Raises:
        ValueError: not UTF-8, not JSON, not an object; a key given twice; NaN, an infinite or huge
            number; control characters or half characters in a text; nested too deep.
    """
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_small,
        )
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    _check_texts(value)
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {shown(key)} is given twice")
        made[key] = value
    return made


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shown(text)} is too large")
    return value


def _small(text: str) -> int:
    if len(text) > _MAX_INT_DIGITS or text == "-0":  # which others take for a float
        raise ValueError(f"the number {shown(text)} is too large, or no whole number to others")
    return int(text)


def _check_texts(value: Any) -> None:
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            left += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            left += item
        elif isinstance(item, str) and CONTROL.search(item):
            raise ValueError(f"the text {shown(item)} holds characters that are no text")


def shown(value: object, length: int = 60) -> str:
    """A value as it may stand in a message: one short line, whatever it holds."""
    text = ascii(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."
