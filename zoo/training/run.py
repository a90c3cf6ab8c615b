"""The run folder: resolved recipe, log, selected weights, and the machine it ran on.

recipe.yaml  log.jsonl  model.safetensors (training form)  run.json
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from zoo.errors import NotFoundError, UsageError
from zoo.recipes import Recipe, load_recipe
from zoo.training.select import Selection
from zoo.version import __version__


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path
    recipe: Recipe

    @classmethod
    def create(cls, recipe: Recipe, out: str | Path | None, *, main: bool = True) -> RunFolder:
        """A new folder with the resolved recipe in it.

        Raises:
            UsageError: the folder is in use.
        """
        path = Path(out) if out is not None else Path("runs") / f"{recipe.name}-seed{recipe.seed}"
        if main:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise UsageError(
                    f"{path} already holds a run\n  give another folder with --out, or delete it"
                )
            path.mkdir(parents=True, exist_ok=True)
            content = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
            (path / "recipe.yaml").write_text(content, encoding="utf-8")
        return cls(path, recipe)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """A finished run.

        Raises:
            NotFoundError: no run there, or one that did not finish.
        """
        path = Path(path)
        for name in ("recipe.yaml", "model.safetensors", "run.json"):
            if not (path / name).is_file():
                raise NotFoundError(
                    f"{path} is not a finished run: it has no {name}\n"
                    "  make one with: zoo train RECIPE --out RUN"
                )
        return cls(path, load_recipe(path / "recipe.yaml"))

    def finish(self, selection: Selection, *, seconds: float, device: str, commit: str) -> None:
        """Write the selected weights and what the run was."""
        save_file(selection.state, self.path / "model.safetensors", {"format": "pt"})
        summary = {
            "seed": self.recipe.seed,
            "selected_epoch": selection.epoch,
            "validation_certified_acc": selection.certified,
            "seconds": round(seconds, 1),
            "device": device,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "zoo": __version__,
            "commit": commit,
        }
        (self.path / "run.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")

    def summary(self) -> dict[str, Any]:
        """Content of run.json."""
        return json.loads((self.path / "run.json").read_text(encoding="utf-8"))
