"""Hostile versions of a safetensors file, a pure function of a seed.

Each kind is a function (parts, dice) -> bytes of a whole file.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Parts(NamedTuple):
    """A file taken apart: its header as an object, and its data."""

    content: bytes
    header: dict[str, Any]
    data: bytes

    @property
    def start(self) -> int:
        """Where the data begin."""
        return len(self.content) - len(self.data)


Kind = Callable[[Parts, random.Random], bytes]
KINDS: dict[str, Kind] = {}


def kind(function: Kind) -> Kind:
    """Decorator: enter a kind under its name."""
    KINDS[function.__name__] = function
    return function


def take_apart(content: bytes) -> Parts:
    """A valid file's parts."""
    end = 8 + int.from_bytes(content[:8], "little")
    return Parts(content, json.loads(content[8:end]), content[end:])


def put_together(head: bytes | dict[str, Any], data: bytes) -> bytes:
    """A file of a header, which may be any bytes."""
    head = json.dumps(head).encode() if isinstance(head, dict) else head
    return struct.pack("<Q", len(head)) + head + data


def mutants(content: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Name of the kind and content of each: all kinds in turn."""
    parts, dice, names = take_apart(content), random.Random(seed), sorted(KINDS)
    for i in range(count):
        name = names[i % len(names)]
        yield name, KINDS[name](parts, dice)


def _flip(content: bytes, begin: int, end: int, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 8))):
        changed[dice.randrange(begin, end)] ^= 1 << dice.randrange(8)
    return bytes(changed)


@kind
def bits_of_the_length(parts: Parts, dice: random.Random) -> bytes:
    return _flip(parts.content, 0, 8, dice)


@kind
def bits_of_the_header(parts: Parts, dice: random.Random) -> bytes:
    return _flip(parts.content, 8, parts.start, dice)


@kind
def bits_of_the_data(parts: Parts, dice: random.Random) -> bytes:
    return _flip(parts.content, parts.start, len(parts.content), dice)


@kind
def bytes_of_the_header(parts: Parts, dice: random.Random) -> bytes:
    changed = bytearray(parts.content)
    changed[dice.randrange(8, parts.start)] = dice.choice(b'{}[]",:0129eE+-. \\\x00\xff')
    return bytes(changed)


@kind
def cut_short(parts: Parts, dice: random.Random) -> bytes:
    near = dice.choice((len(parts.content), parts.start + 1, 16))
    return parts.content[: dice.randrange(near)]


@kind
def extended(parts: Parts, dice: random.Random) -> bytes:
    return parts.content + dice.randbytes(dice.choice((1, 4, 4096)))


@kind
def extended_in_front(parts: Parts, dice: random.Random) -> bytes:
    return dice.randbytes(dice.choice((1, 8))) + parts.content


@kind
def other_length(parts: Parts, dice: random.Random) -> bytes:
    length = dice.choice(
        (0, 1, 2, parts.start - 9, parts.start, 2**20 + 1, 2**31, 2**63, 2**64 - 1)
    )
    return struct.pack("<Q", length) + parts.content[8:]


@kind
def polyglot(parts: Parts, dice: random.Random) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.")
    other = dice.choice((buffer.getvalue(), b"\x80\x04N.", b"\x93NUMPY\x01\x00", b"#!/bin/sh\n"))
    return parts.content + other if dice.random() < 0.5 else other + parts.content


@kind
def key_twice(parts: Parts, dice: random.Random) -> bytes:
    texts = [f"{json.dumps(key)}:{json.dumps(entry)}" for key, entry in parts.header.items()]
    name = dice.choice(list(parts.header))
    other = dict(parts.header[name])
    other[dice.choice(list(other))] = dice.choice(([0, 4], [1], "I32", {}))
    texts.insert(dice.randrange(len(texts) + 1), f"{json.dumps(name)}:{json.dumps(other)}")
    return put_together(("{" + ",".join(texts) + "}").encode(), parts.data)


@kind
def key_twice_in_an_entry(parts: Parts, dice: random.Random) -> bytes:
    name = _any(parts, dice)
    head = json.dumps(parts.header)
    again = dice.choice(('"dtype":"F32",', '"shape":[1],', '"data_offsets":[0,4],'))
    mark = f"{json.dumps(name)}: {{"
    return put_together(head.replace(mark, mark + again).encode(), parts.data)


def _any(parts: Parts, dice: random.Random) -> str:
    return dice.choice([key for key in parts.header if key != "__metadata__"])


def _with(parts: Parts, name: str, **changed: Any) -> bytes:
    entry = parts.header[name] | changed
    return put_together(parts.header | {name: entry}, parts.data)


@kind
def offsets_moved(parts: Parts, dice: random.Random) -> bytes:
    name = _any(parts, dice)
    begin, end = parts.header[name]["data_offsets"]
    by = dice.choice((-4, 4, 1, 2**31, 2**62, len(parts.data)))
    return _with(parts, name, data_offsets=dice.choice(([begin + by, end + by], [begin, end + by])))


@kind
def offsets_that_are_none(parts: Parts, dice: random.Random) -> bytes:
    begin, end = parts.header[name := _any(parts, dice)]["data_offsets"]
    wrong = (
        *([float(begin), end], [begin, end + 0.5], [str(begin), end], [None, end], [end, begin]),
        *([-begin - 1, end], [begin], [begin, end, end], [], [[begin], end], [True, end], end, {}),
        *([begin, 10**30], [begin, 1e308], [False, True]),
    )
    return _with(parts, name, data_offsets=dice.choice(wrong))


@kind
def gap(parts: Parts, dice: random.Random) -> bytes:
    by, at = dice.choice((1, 4, 4096)), dice.randrange(len(parts.header))
    header, data = json.loads(json.dumps(parts.header)), parts.data
    names = sorted(
        (key for key in header if key != "__metadata__"),
        key=lambda key: header[key]["data_offsets"],
    )
    first = header[names[at % len(names)]]["data_offsets"][0]
    for name in names[at % len(names) :]:
        header[name]["data_offsets"] = [offset + by for offset in header[name]["data_offsets"]]
    return put_together(header, data[:first] + bytes(by) + data[first:])


@kind
def other_dtype(parts: Parts, dice: random.Random) -> bytes:
    kinds = ("F32", "I32", "U32", "F16", "BF16", "F64", "U16", "I16", "U8", "BOOL", "F8_E4M3", "x")
    return _with(parts, _any(parts, dice), dtype=dice.choice((*kinds, "f32", "", None, 4, ["F32"])))


@kind
def other_shape(parts: Parts, dice: random.Random) -> bytes:
    name = _any(parts, dice)
    shape = parts.header[name]["shape"]
    wrong = (
        *(shape[::-1], [*shape, 1], [1, *shape], [], [-1], [-side for side in shape], None, "x"),
        *([2**62, 2**62], [2**63], [0], [0, *shape], [10**18] * 1000, [float(s) for s in shape]),
        *([10**400], [True], [str(s) for s in shape], [[s] for s in shape], [1] * 70000),
    )
    return _with(parts, name, shape=dice.choice(wrong))


@kind
def huge_but_consistent(parts: Parts, dice: random.Random) -> bytes:
    side = dice.choice((2**20, 2**31, 2**40))
    return _with(parts, _any(parts, dice), shape=[side, 4], data_offsets=[0, side * 16])


@kind
def other_name(parts: Parts, dice: random.Random) -> bytes:
    name = _any(parts, dice)
    new = dice.choice(
        (
            *(name + "\u0000", name.replace("e", "\u0435"), name.upper(), "", "../../" + name),
            *(name + "\u202e", name + "\ud800", "__metadata__", "x" * 100_000, name + "\n"),
            *("\x1b[2J" + name, "layers.dist1.running_mean_O", "__class__", name + " "),
        )
    )
    header = {(new if key == name else key): entry for key, entry in parts.header.items()}
    return put_together(header, parts.data)


@kind
def tensor_dropped_or_added(parts: Parts, dice: random.Random) -> bytes:
    header = dict(parts.header)
    if dice.random() < 0.5:
        del header[_any(parts, dice)]
        return put_together(header, parts.data)
    end = len(parts.data)
    more = dice.choice((0, 1, 10, 10000 if dice.random() < 0.05 else 100))
    for i in range(more + 1):
        header[f"more{i}"] = {"dtype": "F32", "shape": [0], "data_offsets": [end, end]}
    return put_together(header, parts.data)


@kind
def odd_entries(parts: Parts, dice: random.Random) -> bytes:
    wrong = (None, [], 1, "x", {}, {"dtype": "F32"}, True)
    name = _any(parts, dice)
    extra = parts.header[name] | {"code": "import os"}
    return put_together(parts.header | {name: dice.choice((*wrong, extra))}, parts.data)


@kind
def odd_metadata(parts: Parts, dice: random.Random) -> bytes:
    wrong = (None, 1, [], "pt", {"format": 1}, {"format": None}, {"format": {"a": "b"}}, {"a": [1]})
    fine = ({"format": "np"}, {}, {"a" * 1000: "b" * 1000}, {"\u00e9": "\u4e2d"})
    return put_together(parts.header | {"__metadata__": dice.choice((*wrong, *fine))}, parts.data)


@kind
def nested_deep(parts: Parts, dice: random.Random) -> bytes:
    depth = dice.choice((100, 2000, 100_000))
    text = dice.choice(
        ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth)
    )
    head = json.dumps(parts.header)[:-1] + f', "deep": {text}}}'
    return put_together(head.encode(), parts.data)


@kind
def other_json(parts: Parts, dice: random.Random) -> bytes:
    head = json.dumps(parts.header)
    whole = (
        *(
            "",
            "{}",
            "[]",
            "null",
            "1",
            '"x"',
            "{",
            "}",
            head + "x",
            head[:-1],
            head[1:],
            head + head,
        ),
        *(
            "\ufeff" + head,
            head.replace(":", ": NaN,", 1),
            head.replace("[0,", "[0x0,"),
            head + "\0",
        ),
        *(
            head.replace('"', "'"),
            head.replace("}", ",}", 1),
            f"/**/{head}",
            f"[{head}]",
            " " + head,
        ),
        *(head.replace("[0,", "[00,"), head.replace("[0,", "[1e999,"), head.replace("[0,", "[-0,")),
        *(head.replace("[0,", f"[{'9' * 5000},"), head + " " * 64, head + "\n\t "),
    )
    encoding = dice.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-32-le"))
    return put_together(dice.choice(whole).encode(encoding), parts.data)


@kind
def bytes_that_are_no_text(parts: Parts, dice: random.Random) -> bytes:
    at = dice.randrange(8, parts.start)
    wrong = dice.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x00"))
    head = parts.content[8:at] + wrong + parts.content[at : parts.start]
    return put_together(head, parts.data)


@kind
def odd_values(parts: Parts, dice: random.Random) -> bytes:
    floats = [key for key in parts.header if parts.header[key].get("dtype") == "F32"]
    begin, end = parts.header[dice.choice(floats)]["data_offsets"]
    bits = (0x7FC00000, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFFFFFFF, 1, 0x80000000, 0x7F7FFFFF)
    return _put(parts, dice.randrange(begin, end, 4), struct.pack("<I", dice.choice(bits)))


@kind
def odd_integers(parts: Parts, dice: random.Random) -> bytes:
    """Edges that point anywhere; a weight's bits where the net has no edges."""
    names = [key for key in parts.header if parts.header[key].get("dtype") in ("U16", "I32")]
    name = dice.choice(names or [_any(parts, dice)])
    begin, end = parts.header[name]["data_offsets"]
    if parts.header[name]["dtype"] == "U16":
        value = struct.pack("<H", dice.choice((0xFFFF, 784, 64, 63, 16, 12, 11, 0)))
    else:
        value = struct.pack("<i", dice.choice((-1, 0, 1, 2**31 - 1, -(2**31), 7)))
    return _put(parts, dice.randrange(begin, end, len(value)), value)


def _put(parts: Parts, at: int, value: bytes) -> bytes:
    data = parts.data[:at] + value + parts.data[at + len(value) :]
    return parts.content[: parts.start] + data


@kind
def tensors_swapped(parts: Parts, dice: random.Random) -> bytes:
    one, two = _any(parts, dice), _any(parts, dice)
    swapped = {one: parts.header[two], two: parts.header[one]}
    return put_together(parts.header | swapped, parts.data)


@kind
def order_of_the_header(parts: Parts, dice: random.Random) -> bytes:
    """The same file to any reader: it may be accepted, as what it is."""
    keys = list(parts.header)
    dice.shuffle(keys)
    return put_together({key: parts.header[key] for key in keys}, parts.data)


@kind
def empty_or_zeros(parts: Parts, dice: random.Random) -> bytes:
    size = len(parts.content)
    return dice.choice((b"", bytes(8), bytes(size), b"\xff" * size, dice.randbytes(size), b"{}"))
