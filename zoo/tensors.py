"""A model's tensors in a file: written, read back once, and checked before they are used.

Memory: at most two copies of the file at a time, beside the model that the tensors go into.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from zoo.errors import IntegrityError, NotFoundError
from zoo.layers import Normalize, PrunedLinfDistLinear, SortDistLinear
from zoo.rules import obstacle
from zoo.storage.read import read_bounded
from zoo.storage.tensor_file import (
    MAX_FILE_BYTES,
    Slot,
    check_format,
    check_schema,
    refuse_problems,
)

_DTYPES = {torch.float32: "F32", torch.uint16: "U16", torch.int32: "I32"}
_PART = 1 << 20  # values that are looked at together


def save_tensors(model: nn.Module, path: Path) -> None:
    """Write a model's tensors; "format" is what timm and transformers look for."""
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    safetensors.torch.save_file(state, path, {"format": "pt"})
    path.chmod(0o644)  # save_file leaves it to its owner alone, and a weight folder is shared


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_sha256(model: nn.Module) -> str:
    """Hash of a model's tensors, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().numpy().data)
    return digest.hexdigest()


def read_weights(path: Path, size: int | None, *wanted: str | None) -> bytes:
    """The bytes of a weight file, read once: what is checked is what is used.

    Args:
        size: how many bytes it has, where a card says so.
        wanted: what its sha256 must be, by the card and by the index.

    Raises:
        NotFoundError: there is no such file.
        IntegrityError: other bytes than were published, or too many.
    """
    if not path.is_file():
        raise NotFoundError(
            f"{path} is missing\n  only its card is here: check out or download the weights"
        )
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        raise _changed(path, "bytes", str(size), str(found_size))
    content = read_bounded(path, MAX_FILE_BYTES)
    pins = [digest for digest in wanted if digest is not None]
    found = hashlib.sha256(content).hexdigest() if pins else ""
    for digest in pins:
        if found != digest:
            raise _changed(path, "sha256", digest, found)
    return content


def check_file(path: Path, *wanted: str | None) -> None:
    """Refuse a weight file whose bytes are not those that were published.

    Raises:
        NotFoundError, IntegrityError: see read_weights.
    """
    read_weights(path, None, *wanted)


def _changed(path: Path, what: str, wanted: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is not the file that was published\n"
        f"  expected {what} {wanted}\n  found    {' ' * len(what)} {found}\n"
        "  delete it and download or check it out again"
    )


def load_tensors(model: nn.Module, path: Path) -> str:
    """Copy a file's tensors into a model: the same names, shapes and dtypes, all finite.

    Returns:
        sha256 of the bytes that the tensors come from.

    Raises:
        NotFoundError: there is no such file.
        IntegrityError: anything else than the model's tensors, or edges that point outside of it.
    """
    content = read_weights(path, None)
    check_schema(check_format(content, path), slots(model), path)
    tensors, sha256 = unpack(content, path), hashlib.sha256(content).hexdigest()
    del content
    place(tensors, model, path)
    return sha256


def slots(model: nn.Module) -> dict[str, Slot]:
    """What the header of a model's file must say."""
    state = model.state_dict()
    return {key: Slot(_DTYPES[tensor.dtype], tuple(tensor.shape)) for key, tensor in state.items()}


def unpack(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a file whose format and schema are checked.

    Raises:
        IntegrityError: a value that is not finite.
    """
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, ValueError) as error:  # stricter than we are
        reason = str(error)[:200]
        raise IntegrityError(f"{path} is not a safetensors file: {reason}") from None
    refuse_problems(
        [
            f"{key} holds a value that is not finite"
            for key, tensor in tensors.items()
            if tensor.is_floating_point() and not _is_finite(tensor)
        ],
        path,
    )
    return tensors


def place(tensors: dict[str, Tensor], model: nn.Module, path: Path) -> None:
    """Copy tensors into a model; one on the meta device is given memory first.

    Raises:
        IntegrityError: an edge, a scale or an order weight that no net has.
    """
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        model.to_empty(device="cpu")
    model.load_state_dict(tensors)
    # What a layer computes with as it stands, where not every number is one that a net has.
    checked = PrunedLinfDistLinear | Normalize | SortDistLinear
    refuse_problems(
        [
            f"{name}: {reason}"
            for name, layer in model.named_modules()
            if isinstance(layer, checked) and (reason := obstacle(layer))
        ],
        path,
    )


def _is_finite(tensor: Tensor) -> bool:
    # In parts: isfinite makes copies.
    parts = tensor.flatten().split(_PART)
    return all(bool(part.isfinite().all()) for part in parts)
