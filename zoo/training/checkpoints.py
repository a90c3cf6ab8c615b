"""Checkpoints of a run on disk: each whole or absent, the last two kept, every byte accounted for.

checkpoints/step-<step>.<start of the sha256>.safetensors
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from zoo.errors import IntegrityError
from zoo.storage.atomic import make_folder, reporting, sweep, write_bytes

_NAME = re.compile(r"step-(\d+)\.([0-9a-f]{16})\.safetensors")
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and facts that JSON can hold."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints in one folder; only the folder's owner may save.

    Args:
        folder: made when the first one is saved.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def save(self, step: int, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, then remove all but the last two.

        The name carries the hash, so one rename makes both bytes and checksum appear.

        Raises:
            ZooError: the disk is full or read-only; the checkpoints before are whole.
        """
        with reporting(self._folder):
            make_folder(self._folder)
            sweep(self._folder)
        content = safetensors.torch.save(checkpoint.tensors, {"zoo": json.dumps(checkpoint.facts)})
        digest = hashlib.sha256(content).hexdigest()[:16]
        path = self._folder / f"step-{step:09}.{digest}.safetensors"
        write_bytes(path, content)
        with reporting(self._folder):
            # What was just written stays, whatever its step: a run may have gone back. One of the
            # same step came before it: an epoch ends between two steps.
            others = [file for file in self._newest_first() if file != path]
            kept = [file for file in others if step_of(file) != step][: _KEPT - 1]
            for old in others:
                if old not in kept:
                    old.unlink()
        return path

    def latest(self, report: Callable[[str], None]) -> Path | None:
        """The newest checkpoint whose bytes are those that were written; None where there is none.

        Newer ones that are damaged are removed once a whole one is found: they would be in the way
        of those to come.

        Args:
            report: told of every one that had to be passed over.

        Raises:
            IntegrityError: there are some, and none is whole.
        """
        files = self._newest_first()
        for i, file in enumerate(files):
            if _is_whole(file):
                with reporting(self._folder):
                    for damaged in files[:i]:
                        damaged.unlink()
                return file
            report(f"{file} is damaged: going back to the checkpoint before it")
        if files:
            raise IntegrityError(
                f"no checkpoint in {self._folder} is whole\n"
                "  the disk may be failing; start again in another folder with --out"
            )
        return None

    @property
    def exist(self) -> bool:
        """Whether there are any, whole or not."""
        return bool(self._newest_first())

    def _newest_first(self) -> list[Path]:
        files = [file for file in self._folder.glob("step-*") if _NAME.fullmatch(file.name)]
        return sorted(files, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """The step that a checkpoint's name says."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint that `latest` found.

    Raises:
        IntegrityError: it is not there, or not what was written.
    """
    if not (path.is_file() and _is_whole(path)):
        raise IntegrityError(
            f"{path} is missing or damaged\n"
            "  all processes read the run folder: it must lie on a file system that they share"
        )
    with safetensors.safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        return Checkpoint(tensors, json.loads(file.metadata()["zoo"]))


def _is_whole(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return False
    return match is not None and digest.startswith(match[2])
