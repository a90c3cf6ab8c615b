"""All that changes while a recipe trains, and its form in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.utils import ModelEmaV3  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor, nn

from zoo.errors import IntegrityError, ZooError
from zoo.recipes import Recipe
from zoo.training.build import build_optimizer
from zoo.training.checkpoints import Checkpoint
from zoo.training.select import Selection
from zoo.training.step import Step
from zoo.training.teacher import Teacher

# What JSON gives back as it was.
_PLAIN = (bool, int, float, str, type(None))


@dataclass
class TrainingState:
    """A point in a run: what comes after it is a function of this and of the recipe.

    Attributes:
        module: the model and the objective's own parameters.
        step: optimiser steps that were taken.
        epochs: epochs that are over, with their validation and their row in the log.
        tally: of the images since then, the sum of losses and the number classified correctly.
        seconds: of training, over all starts.
    """

    module: Step
    optimizer: torch.optim.Optimizer
    ema: ModelEmaV3 | None
    selection: Selection
    step: int = 0
    epochs: int = 0
    tally: Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    seconds: float = 0.0

    @classmethod
    def fresh(
        cls,
        model: nn.Module,
        recipe: Recipe,
        device: torch.device,
        teacher: Teacher | None = None,
    ) -> TrainingState:
        """The first point of a run, with the model as it is."""
        module = Step(model, recipe, teacher).to(device)
        return cls(
            module=module,
            optimizer=build_optimizer(module, recipe),
            ema=None if recipe.ema is None else ModelEmaV3(module.model, decay=recipe.ema),
            selection=Selection(recipe.select),
        )

    @property
    def kept_model(self) -> nn.Module:
        """The net that is validated and kept: the average where there is one."""
        return self.module.model if self.ema is None else self.ema.module

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state, by name, on the CPU; copies, as training goes on."""
        found = {f"module.{key}": value for key, value in self.module.state_dict().items()}
        if self.ema is not None:
            found |= {f"ema.{key}": value for key, value in self.ema.module.state_dict().items()}
        found |= {f"kept.{key}": value for key, value in self.selection.state.items()}
        optimizer = self.optimizer.state_dict()
        groups = enumerate(optimizer["param_groups"])  # LAMB counts its steps in a tensor here
        for place, entries in ("optimizer", optimizer["state"].items()), ("group", groups):
            for i, entry in entries:
                tensors = {key: value for key, value in entry.items() if isinstance(value, Tensor)}
                found |= {f"{place}.{i}.{key}": value for key, value in tensors.items()}
        return {key: value.detach().cpu().clone().contiguous() for key, value in found.items()}

    def pack(self, tally: Tensor) -> Checkpoint:
        """The state as a checkpoint.

        Args:
            tally: summed over all processes.

        Raises:
            ZooError: a weight is not finite, and no such state is ever saved; or the optimiser has
                state that could not be brought back.
        """
        tensors = self.tensors()
        check_finite(tensors, self.step, self.epochs + 1)
        state = self.optimizer.state_dict()
        _check_kinds(state["state"].values())
        facts = {
            "step": self.step,
            "epochs": self.epochs,
            "tally": tally.tolist(),
            "seconds": self.seconds,
            "selection": [self.selection.epoch, self.selection.certified],
            "optimizer": {str(i): _plain(entry) for i, entry in state["state"].items()},
            "groups": [_plain(group) for group in state["param_groups"]],
        }
        return Checkpoint(tensors, facts)

    def unpack(self, checkpoint: Checkpoint, *, main: bool) -> None:
        """Become the state that a checkpoint holds.

        Args:
            main: the main process alone takes the tally, which is one sum over all of them.

        Raises:
            IntegrityError: it is one of another net or optimiser.
        """
        facts = checkpoint.facts
        try:
            self.module.load_state_dict(_under("module.", checkpoint.tensors))
            if self.ema is not None:
                self.ema.module.load_state_dict(_under("ema.", checkpoint.tensors))
            self._unpack_optimizer(checkpoint)
            self.selection.state = _under("kept.", checkpoint.tensors)
            self.selection.epoch, self.selection.certified = facts["selection"]
            self.step, self.epochs = facts["step"], facts["epochs"]
            self.seconds = facts["seconds"]
            if main:
                self.tally.copy_(torch.tensor(facts["tally"], dtype=torch.float64))
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise IntegrityError(f"the checkpoint is of another run: {reason}") from None

    def _unpack_optimizer(self, checkpoint: Checkpoint) -> None:
        state = self.optimizer.state_dict()
        groups = zip(state["param_groups"], checkpoint.facts["groups"], strict=True)
        for i, (group, saved) in enumerate(groups):
            group |= saved | _under(f"group.{i}.", checkpoint.tensors)
        entries: dict[int, dict[str, Any]] = {
            int(i): dict(plain) for i, plain in checkpoint.facts["optimizer"].items()
        }
        for name, tensor in _under("optimizer.", checkpoint.tensors).items():
            i, _, key = name.partition(".")
            entries[int(i)][key] = tensor
        self.optimizer.load_state_dict(state | {"state": entries})


def check_finite(tensors: dict[str, Tensor], step: int, epoch: int) -> None:
    """Refuse weights or optimiser state that are not finite.

    Raises:
        ZooError: one is not.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ZooError(
                f"{name} holds a value that is not finite after step {step}, in epoch {epoch}\n"
                "  a smaller schedules.lr.start may help; earlier checkpoints and the log are kept"
            )


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """What an optimiser counts and sets beside its tensors."""
    return {key: value for key, value in settings.items() if isinstance(value, _PLAIN)}


def _check_kinds(entries: Iterable[dict[str, Any]]) -> None:
    """Refuse state of an optimiser that would be missing after a resume."""
    for entry in entries:
        for key, value in entry.items():
            if not isinstance(value, (Tensor, *_PLAIN)):
                raise ZooError(
                    f"the optimizer keeps {key} in a {type(value).__name__}, "
                    "which no checkpoint can hold\n  choose another optimizer.name"
                )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    chosen = {key: value for key, value in tensors.items() if key.startswith(prefix)}
    return {key.removeprefix(prefix): value for key, value in chosen.items()}
