"""The training loop: steps, ends of epochs and saves, until the run is over or has to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from zoo.data.pixels import Pixels
from zoo.errors import Interrupted, ZooError
from zoo.halving import out_of_memory
from zoo.recipes import Recipe
from zoo.storage.lock import FolderLock
from zoo.training.batches import Batches
from zoo.training.log import RunLog
from zoo.training.lp_decay import lp_decay_
from zoo.training.plan import Pace
from zoo.training.processes import check_equal_bits, fail_together, largest, on_main
from zoo.training.recalibrate import recalibrated
from zoo.training.run import RunFolder
from zoo.training.select import validate
from zoo.training.signals import StopRequest
from zoo.training.state import TrainingState, check_finite

# Unless the user says how often: once a minute, if that takes no more than a twentieth of the time.
_SAVE_EVERY_SECONDS, _TIMES_A_SAVE = 60.0, 20

# What looks on: called with the model and the number of epochs that are over.
Watch = Callable[[nn.Module, int], None]


@dataclass
class Trainer:
    """Takes a state to the end of its run.

    Attributes:
        module, optimizer: the state's, as accelerate prepared them for several processes.
        lock: of the run folder, in the main process.
        save_every: seconds between checkpoints; None leaves the choice to the trainer.
        watch: looks at the model after each epoch.
    """

    accelerator: Accelerator
    recipe: Recipe
    batches: Batches
    validation: Pixels
    state: TrainingState
    module: nn.Module
    optimizer: Any
    run: RunFolder
    log: RunLog
    lock: FolderLock | None = None
    save_every: float | None = None
    watch: Watch | None = None
    _clock: _Clock = field(init=False)

    def __post_init__(self) -> None:
        self._clock = _Clock(self.state.seconds)
        left = self.batches.num_steps - self.state.step
        self._pace = Pace(left, self.accelerator.device, self.log.say)

    def train(self, stop: StopRequest) -> None:
        """Go on to the end of the run.

        Raises:
            Interrupted: a signal came; the state is saved.
            ZooError: a loss, gradient or weight is not finite, memory runs out, or nothing can be
                saved.
        """
        state = self.state
        while state.epochs < self.recipe.epochs:
            epoch_over = state.step == (state.epochs + 1) * self.batches.steps_per_epoch
            trouble = self._end_epoch() if epoch_over else self._backward()
            # One exchange a step: what one process has met or wants, all act on at the same step.
            troubled, signal_number, due = largest(
                self.accelerator, bool(trouble), stop.signal_number or 0, self._save_is_due()
            )
            if troubled:
                elsewhere = f"the loss or gradient of another process is not finite{self._place()}"
                fail_together(self.accelerator, ZooError(trouble or elsewhere))
            if not epoch_over:
                self._update()
            if signal_number or due:
                saved = self._save()
                if signal_number:
                    place = f"stopped by signal {signal_number} after step {state.step}: {saved}"
                    hint = "  go on with the same command and --resume"
                    stopped = Interrupted(f"{place}\n{hint}", signal_number)
                    fail_together(self.accelerator, stopped)

    @property
    def seconds(self) -> float:
        """Of training so far, over all starts."""
        return self._clock.seconds

    def _backward(self) -> str:
        """Gradients of the next batch; what is wrong with them, or nothing."""
        step = self.state.step
        knobs = self.batches.knobs(step)
        for group in self.optimizer.param_groups:
            group["lr"] = knobs["lr"] * group["lr_share"]
        self.batches.seed_global(step)
        try:
            x_bCHW, y_b = self.batches(step)
            loss, num_correct = self.module(x_bCHW, y_b, knobs)
            self.optimizer.zero_grad()
            self.accelerator.backward(loss)
        except Exception as error:
            if not out_of_memory(error):
                raise
            # Half of a batch and then the other would give other bits, and another BatchNorm.
            raise ZooError(
                f"out of memory{self._place()}\n"
                f"  share the batch of {self.recipe.batch_size} among more processes, or take a "
                "smaller one or a narrower net; the log and the last checkpoint are kept"
            ) from error
        self._of_batch = torch.stack([loss.detach() * len(y_b), num_correct])
        named = dict(self.state.module.named_parameters())
        gradients = {name: tensor.grad for name, tensor in named.items() if tensor.grad is not None}
        # Both pass on what is not a number; on CPUs they take a tenth of the time of a norm.
        ends = [end for gradient in gradients.values() for end in torch.aminmax(gradient)]
        if bool(torch.stack([loss.detach(), *ends]).isfinite().all()):
            return ""
        return self._diagnosis(loss.detach(), gradients)

    def _diagnosis(self, loss: Tensor, gradients: dict[str, Tensor]) -> str:
        what = f"the loss is {loss.item()}"
        if bool(loss.isfinite()):
            bad = [name for name, tensor in gradients.items() if not bool(tensor.isfinite().all())]
            what = f"the gradient of {', '.join(bad) or 'all weights'} is not finite"
        return (
            f"{what}{self._place()}\n"
            "  a smaller schedules.lr.start may help; the log and the last checkpoint are kept"
        )

    def _place(self) -> str:
        epoch, i = divmod(self.state.step, self.batches.steps_per_epoch)
        return f" at epoch {epoch + 1}, step {i + 1} (step {self.state.step + 1} of the run)"

    def _update(self) -> None:
        """Take the step that the gradients say."""
        state = self.state
        if self.recipe.optimizer.clip_norm is not None:
            clip_grad_norm_(state.module.parameters(), self.recipe.optimizer.clip_norm)
        if self.recipe.optimizer.lp_decay:
            lr = self.batches.knobs(state.step)["lr"]
            lp_decay_(state.module.model, lr * self.recipe.optimizer.lp_decay)
        self.optimizer.step()
        if state.ema is not None:
            state.ema.update(state.module.model)
        state.tally += self._of_batch
        state.step += 1
        self._pace.step()

    def _end_epoch(self) -> str:
        """Validate, select and log; what is wrong with the weights, or nothing."""
        state, recipe, epoch = self.state, self.recipe, self.state.epochs + 1
        images = self.batches.steps_per_epoch * recipe.batch_size
        loss, acc = (self._total_tally() / images).tolist()
        knobs = self.batches.knobs(state.step - 1)
        row = {"epoch": epoch, "loss": loss, "acc": 100 * acc, "p": knobs["p"], "lr": knobs["lr"]}
        last = epoch == recipe.epochs
        if last or epoch % recipe.evaluate_every == 0:
            model = state.kept_model
            trouble = ""
            try:
                check_finite(model.state_dict(), state.step, epoch)
            except ZooError as error:  # which bounds would refuse too, but not with its place
                trouble = str(error)
            if any(largest(self.accelerator, bool(trouble))):  # no process may validate alone
                return trouble
            if recipe.recalibrate:
                model = recalibrated(model, self.batches, state.epochs, recipe.recalibrate)
            clean, certified = validate(model, self.validation, recipe, self.accelerator)
            row |= {"val_acc": clean, "val_cert": certified}
            state.selection.offer(model, certified, epoch, last=last)
        state.tally.zero_()
        state.epochs = epoch
        if self.watch is not None:
            self.watch(state.module.model, epoch)
        timed = row | {"seconds": round(self.seconds, 2)}
        on_main(self.accelerator, lambda: self.log.epoch(timed))
        self.accelerator.log({key: row[key] for key in row if key != "epoch"}, step=epoch)
        return ""

    def _total_tally(self) -> Tensor:
        total = self.accelerator.reduce(self.state.tally, "sum")
        assert isinstance(total, Tensor)
        return total

    def _save_is_due(self) -> bool:
        return self.accelerator.is_main_process and self._clock.save_is_due(self.save_every)

    def _save(self) -> Path:
        state = self.state
        begun = time.monotonic()
        state.seconds = self.seconds
        tally = self._total_tally()
        check_equal_bits(self.accelerator, state.module.state_dict())

        def write() -> Path:
            if self.lock is not None:
                self.lock.check()
            self.log.sync()  # the state says that these rows are behind it
            return self.run.checkpoints.save(state.step, state.pack(tally))

        path = on_main(self.accelerator, write)
        self._clock.saved(time.monotonic() - begun)
        return path


class _Clock:
    """Time of training, and since the last save."""

    def __init__(self, seconds_before: float):
        self._start = time.monotonic() - seconds_before
        self._saved_at, self._cost = time.monotonic(), 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def save_is_due(self, every: float | None) -> bool:
        wait = max(_SAVE_EVERY_SECONDS, _TIMES_A_SAVE * self._cost) if every is None else every
        return time.monotonic() - self._saved_at >= wait

    def saved(self, cost: float) -> None:
        self._saved_at, self._cost = time.monotonic(), cost
