"""Pickles in a weight folder, under any name: none runs, each gets a clear error."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo
from hostile.folders import Folder, clear, load
from zoo.errors import IntegrityError, ZooError


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = str(canary)

    def __reduce__(self):
        return open, (self.canary, "w")


def plain(payload: Payload) -> bytes:
    return pickle.dumps(payload)


def oldest(payload: Payload) -> bytes:
    return pickle.dumps(payload, protocol=0)


def state_dict(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    torch.save({"layers.dist1.weight": torch.zeros(2), "x": payload}, buffer)
    return buffer.getvalue()


def legacy(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    torch.save({"x": payload}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def array(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([payload], dtype=object))
    return buffer.getvalue()


KINDS = [plain, oldest, state_dict, legacy, array]
ENDINGS = ["safetensors", "pt", "pkl", "bin", "npy", "ckpt"]


def test_payloads_work(canary: Path) -> None:
    """A canary that is never made proves nothing unless it can be."""
    for kind in (plain, oldest):
        pickle.loads(kind(Payload(canary))).close()
        canary.unlink()
    content = zipfile.ZipFile(io.BytesIO(state_dict(Payload(canary))))
    assert any(str(canary).encode() in content.read(name) for name in content.namelist())
    for kind in (legacy, array):
        assert str(canary).encode() in kind(Payload(canary))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_pickle_never_runs(
    folder: Folder, canary: Path, kind: Callable[[Payload], bytes], ending: str, tally
) -> None:
    counts = tally("pickles", "placed", "refused", "run")
    counts["placed"] += 1
    content = kind(Payload(canary))
    other = folder.path / f"model.{ending}"
    if ending == "safetensors":
        folder.put(content, vouched=True)
    else:
        folder.weights.unlink()
        other.write_bytes(content)
    try:
        model, message = load(folder.path)
        assert model is None
        assert "is not a safetensors file" in message or "is missing" in message
        with pytest.raises(ZooError) as caught:
            zoo.load(other)
        clear(caught.value, "give the folder")
    finally:
        other.unlink()
        folder.restore()
    counts["run"] += canary.exists()
    counts["refused"] += 1
    assert not canary.exists()


@pytest.mark.parametrize("name", ["config.json", "index.json"])
@pytest.mark.parametrize("kind", KINDS)
def test_pickle_in_place_of_json_never_runs(folder, canary, tmp_path, kind, name: str) -> None:
    from zoo.cards.card import Card
    from zoo.cards.index import read_index

    (tmp_path / name).write_bytes(kind(Payload(canary)))
    with pytest.raises(IntegrityError) as caught:
        Card.read(tmp_path) if name == "config.json" else read_index(tmp_path)
    clear(caught.value, name)
    assert not canary.exists()
