"""Read encoded images and labels from parquet files in the Hugging Face layout.

Shapes: N images.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from zoo.data.decode import EncodedImage
from zoo.data.parts import Part
from zoo.errors import IntegrityError, UsageError

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels")


def read_parquet(files: Sequence[Path]) -> Part:
    """Images and labels of some files, in order; an image is a struct with ``bytes``, or binary.

    Raises:
        UsageError: no image or label column, several that could be it, or missing values in it.
        IntegrityError: not a parquet file, or a damaged one.
    """
    images: list[EncodedImage] = []
    labels: list[int] = []
    for file in files:
        contents, file_labels = _read_file(file)
        images += [EncodedImage(f"{file} row {i}", bytes_) for i, bytes_ in enumerate(contents)]
        labels += file_labels
    return Part(images, torch.tensor(labels, dtype=torch.int64))


def count_class_names(file: Path) -> int:
    """How many classes the file's Hugging Face metadata names; 0 where it has none.

    Raises:
        UsageError, IntegrityError: as for read_parquet.
    """
    schema = _open(file).schema_arrow
    _, label = _find_columns(file, schema)
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = metadata.get("info", {}).get("features", {}).get(label, {})
    return len(feature.get("names", ()))


def _read_file(file: Path) -> tuple[list[bytes], list[int]]:
    reader = _open(file)
    image, label = _find_columns(file, reader.schema_arrow)
    try:
        table = reader.read([image, label])
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from error
    contents, labels = table[image].to_pylist(), table[label].to_pylist()
    if pa.types.is_struct(table[image].type):
        contents = [struct and struct["bytes"] for struct in contents]
    for values, name in ((contents, image), (labels, label)):
        if None in values:
            raise UsageError(
                f"column {name!r} of {file} lacks {values.count(None)} of {len(values)} values\n"
                "  each row needs the bytes of an encoded image and an integer label"
            )
    if min(labels, default=0) < 0:
        raise UsageError(
            f"column {label!r} of {file} has negative labels\n"
            "  labels count from 0; a split published without labels cannot be used"
        )
    return contents, labels


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from error


def _find_columns(file: Path, schema: pa.Schema) -> tuple[str, str]:
    images = [field.name for field in schema if _holds_images(field.type)]
    labels = [field.name for field in schema if pa.types.is_integer(field.type)]
    image, label = _only(images, IMAGE_NAMES), _only(labels, LABEL_NAMES)
    if image and label:
        return image, label
    missing = "image" if image is None else "label"
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
    raise UsageError(
        f"cannot tell the {missing} column of {file}\n"
        f"  its columns: {columns}\n"
        "  wanted: one column 'image' (binary, or a struct with bytes), one 'label' (integer)"
    )


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind.fields)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _only(candidates: Sequence[str], usual: Sequence[str]) -> str | None:
    """The one candidate, or the one of a usual name."""
    named = [name for name in candidates if name in usual] if len(candidates) > 1 else candidates
    return named[0] if len(named) == 1 else None


def _damaged(file: Path, error: Exception) -> IntegrityError:
    first_line = str(error).splitlines()[0]
    return IntegrityError(f"{file} is not a readable parquet file: {first_line}\n  fetch it again")
