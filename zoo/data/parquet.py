"""Read encoded images and labels from parquet files in the Hugging Face layout.

Shapes: N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from zoo.data.decode import EncodedImage
from zoo.data.parts import Part
from zoo.errors import IntegrityError, UsageError
from zoo.storage.read import strict_json

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels")
_MAX_LABEL = 1 << 20
# Encoded images do not shrink again; those that are all alike may.
_MAX_RATIO, _ALWAYS_FINE = 32, 1 << 28
_ROWS_AT_ONCE = 64


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
    try:
        found: Any = strict_json((schema.metadata or {}).get(b"huggingface", b"{}"))
        for key in ("info", "features", label):
            found = found.get(key, {})
        return len(found.get("names", ()))
    except (ValueError, AttributeError, TypeError) as error:
        raise _damaged(file, error) from error


def _read_file(file: Path) -> tuple[list[bytes], list[int]]:
    reader = _open(file)
    image, label = _find_columns(file, reader.schema_arrow)
    try:
        contents, labels = _columns(file, reader, image, label)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from error
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
    if max(labels, default=0) > _MAX_LABEL:
        raise UsageError(
            f"column {label!r} of {file} has the label {max(labels)}\n"
            f"  labels count the classes from 0; a million classes are more than any net here has"
        )
    return contents, labels


def _columns(
    file: Path, reader: pq.ParquetFile, image: str, label: str
) -> tuple[list[Any], list[Any]]:
    """Both columns, read bit by bit, so that a small file cannot fill the memory.

    Raises:
        IntegrityError: more bytes than such a file can honestly hold.
    """
    limit = max(_ALWAYS_FINE, _MAX_RATIO * file.stat().st_size)
    groups = [reader.metadata.row_group(i) for i in range(reader.num_row_groups)]
    told = sum(g.column(i).total_uncompressed_size for g in groups for i in range(g.num_columns))
    held, contents, labels = 0, [], []
    if told <= limit:
        for batch in reader.iter_batches(_ROWS_AT_ONCE, columns=[image, label]):
            held += batch.nbytes
            if held > limit:
                break
            values = batch.column(image).to_pylist()
            if pa.types.is_struct(batch.column(image).type):
                values = [struct and struct["bytes"] for struct in values]
            contents += values
            labels += batch.column(label).to_pylist()
    if max(told, held) > limit:
        raise IntegrityError(
            f"{file} unpacks to more than {limit:,} bytes\n"
            "  no images shrink that much: the file is damaged or a trap"
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
        return any(field.name == "bytes" and _holds_images(field.type) for field in kind.fields)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _only(candidates: Sequence[str], usual: Sequence[str]) -> str | None:
    """The one candidate, or the one of a usual name."""
    named = [name for name in candidates if name in usual] if len(candidates) > 1 else candidates
    return named[0] if len(named) == 1 else None


def _damaged(file: Path, error: Exception) -> IntegrityError:
    first_line = (str(error) or type(error).__name__).splitlines()[0][:200]
    return IntegrityError(f"{file} is not a readable parquet file: {first_line}\n  fetch it again")
