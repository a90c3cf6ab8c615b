"""The run folder: all that a run is, was and left, in files that are whole after any crash.

recipe.yaml       resolved: what the run is a function of
environment.json  code, libraries and machine, of each start
log.jsonl         a row an epoch
checkpoints/      the last two
curves.png        accuracy and loss by epoch
model.safetensors, run.json    once finished: the kept weights (training form), and a summary
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import yaml
from torch import Tensor

from zoo.errors import NotFoundError, UsageError
from zoo.recipes import Recipe, load_recipe
from zoo.storage.atomic import reporting, sweep, write_bytes, write_text
from zoo.storage.lock import FolderLock
from zoo.training.checkpoints import Checkpoints
from zoo.training.environment import differences

_FINISHED = ("recipe.yaml", "model.safetensors", "run.json")


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path
    recipe: Recipe

    @classmethod
    def at(cls, recipe: Recipe, out: str | Path | None) -> RunFolder:
        """The folder that a run of this recipe goes into; nothing is written yet."""
        name = f"{recipe.name}-seed{recipe.seed}"
        return cls(Path("runs") / name if out is None else Path(out), recipe)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """A finished run.

        Raises:
            NotFoundError: no run there, or one that did not finish.
        """
        path = Path(path)
        for name in _FINISHED:
            if not (path / name).is_file():
                raise NotFoundError(
                    f"{path} is not a finished run: it has no {name}\n"
                    "  make one with: zoo train RECIPE --out RUN, or finish it with --resume"
                )
        return cls(path, load_recipe(path / "recipe.yaml"))

    @property
    def finished(self) -> bool:
        """Whether the run reached its end."""
        return all((self.path / name).is_file() for name in _FINISHED)

    @property
    def checkpoints(self) -> Checkpoints:
        """The run's checkpoints."""
        return Checkpoints(self.path / "checkpoints")

    @contextmanager
    def owned(self, *, resume: bool) -> Iterator[FolderLock]:
        """Own the folder for a while, with the recipe in it.

        Args:
            resume: go on with the run in it; a folder without one starts one.

        Raises:
            UsageError: it is in use, holds a run (without resume), one of another recipe, or files
                that are no run's.
            ZooError: it cannot be written.
        """
        self._check(resume)  # before a lock file is left in what is not ours
        with FolderLock(self.path) as lock:
            self._check(resume)
            with reporting(self.path):
                for folder in (self.path, self.path / "checkpoints"):
                    sweep(folder)
            if not holds_run(self.path):
                content = yaml.safe_dump(self.recipe.model_dump(mode="json"), sort_keys=False)
                write_text(self.path / "recipe.yaml", content)
            yield lock

    def _check(self, resume: bool) -> None:
        path = self.path
        begun = holds_run(path)
        if begun and not resume:
            owner = FolderLock(path).described()
            raise UsageError(
                f"{path} already holds a run, of {owner}\n"
                "  go on with it: --resume; or give another folder with --out, or delete it"
            )
        if begun:
            changed = changes(load_recipe(path / "recipe.yaml"), self.recipe)
            if changed:
                raise UsageError(
                    "\n  ".join([f"{path} holds a run of another recipe; it has", *changed])
                )
        elif path.exists() and (not path.is_dir() or _foreign(path)):
            raise UsageError(
                f"{path} holds files that are no run's\n  give another folder with --out"
            )

    def add_environment(self, facts: dict[str, Any], report: Callable[[str], None]) -> None:
        """Record a start.

        Args:
            report: told what differs from the start before, and may change bits.
        """
        starts = self.environments()
        changed = differences(starts[-1], facts) if starts else []
        if changed:
            report(f"bits may differ from an uninterrupted run: {'; '.join(changed)}")
        write_text(self.path / "environment.json", json.dumps([*starts, facts], indent=2) + "\n")

    def environments(self) -> list[dict[str, Any]]:
        """The environment of each start."""
        path = self.path / "environment.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []

    def finish(self, weights: dict[str, Tensor], summary: dict[str, Any]) -> None:
        """Write the kept weights and what the run was; run.json, the last, makes it finished."""
        starts = self.environments()
        constant = ("device", "threads", "torch", "python", "zoo", "processes")
        summary |= {key: starts[-1][key] for key in constant}
        summary["commit"] = ", ".join(dict.fromkeys(start["commit"] for start in starts))
        tensors = {key: tensor.cpu().contiguous() for key, tensor in weights.items()}
        content = safetensors.torch.save(tensors, {"format": "pt"})
        write_bytes(self.path / "model.safetensors", content)
        write_text(self.path / "run.json", json.dumps(summary, indent=2) + "\n")

    def summary(self) -> dict[str, Any]:
        """Content of run.json."""
        return json.loads((self.path / "run.json").read_text(encoding="utf-8"))


def holds_run(folder: str | Path) -> bool:
    """Whether a run has begun there."""
    return (Path(folder) / "recipe.yaml").is_file()


def _foreign(folder: Path) -> bool:
    """Whether a folder holds anything but the traces of a run that crashed at its first breath."""
    own = (".lock", ".owner", "..owner.", ".recipe.yaml.")
    return any(not file.name.startswith(own) for file in folder.iterdir())


def changes(old: Recipe, new: Recipe) -> list[str]:
    """Settings of a run's recipe that another recipe changes, a line each."""
    before, after = (_flat(recipe.model_dump(mode="json")) for recipe in (old, new))
    keys = sorted(before.keys() | after.keys())
    return [
        f"{key} = {before.get(key)}, not {after.get(key)}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
        flat |= inner
    return flat
