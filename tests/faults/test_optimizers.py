"""A checkpoint holds all that the future of a run depends on, whatever optimiser it has."""

from __future__ import annotations

import functools

import pytest
import torch
from accelerate.utils import set_seed
from conftest import NAME
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.optim import list_optimizers

from zoo.data.load import load_data
from zoo.errors import UsageError, ZooError
from zoo.recipes import Recipe, load_recipe
from zoo.training.batches import Batches
from zoo.training.build import build_model
from zoo.training.checkpoints import Checkpoint, Checkpoints, read_checkpoint
from zoo.training.state import TrainingState

TINY = {"model.width": 8, "epochs": 2, "batch_size": 64, "ema": 0.9, "schedules.lr.start": 0.01}
TINY |= {"optimizer.eps": 1e-8, "optimizer.weight_decay": 0.01, "select": "best"}
OPTIMIZERS = [*list_optimizers(), "lookahead_adam", "lookahead_sgd", "lookahead_lamb"]

pytestmark = pytest.mark.filterwarnings("ignore")  # some warn of what they would rather have


@functools.cache
def prepared(optimizer: str) -> tuple[Recipe, Batches]:
    """A tiny run of an optimiser."""
    recipe = load_recipe(NAME, TINY | {"optimizer.name": optimizer})
    return recipe, Batches(recipe, load_data("digits", "train"))


def fresh(recipe: Recipe, seed: int) -> TrainingState:
    """The first point of a run, from random weights of this seed."""
    set_seed(seed)
    model = build_model(recipe.model, load_data("digits", "train"))
    return TrainingState.fresh(model, recipe, torch.device("cpu"))


def advance(state: TrainingState, batches: Batches, steps: int) -> None:
    """Take steps as the trainer does."""
    for _ in range(steps):
        knobs = batches.knobs(state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = knobs["lr"] * group["lr_share"]
        x_BCHW, y_B = batches(state.step)
        loss, num_correct = state.module(x_BCHW, y_B, knobs)
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        assert state.ema is not None
        state.ema.update(state.module.model)
        state.tally += torch.stack([loss.detach() * len(y_B), num_correct])
        state.step += 1


def bits(checkpoint: Checkpoint) -> dict[str, tuple]:
    """Kind, shape and every bit of the tensors, by name."""
    return {
        name: (tensor.dtype, tensor.shape, tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        for name, tensor in checkpoint.tensors.items()
    }


def same(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two states agree in every bit."""
    return one.facts == other.facts and bits(one) == bits(other)


def refusal(optimizer: str) -> str:
    """Why recipes cannot have it; "" if they can."""
    try:
        fresh(prepared(optimizer)[0], 0)
    except UsageError as error:
        return str(error)
    return ""


def check(optimizer: str, before: int, kept: bool, after: int, folder) -> None:
    """Two states are one, if one was read from a checkpoint of the other; and stay so."""
    recipe, batches = prepared(optimizer)
    state = fresh(recipe, 0)
    advance(state, batches, before)
    if kept:
        state.selection.offer(state.kept_model, 12.5, 1, last=False)
        state.epochs = 1
    saved = state.pack(state.tally)
    Checkpoints(folder).save(state.step, saved)
    path = Checkpoints(folder).latest(pytest.fail)
    assert path is not None
    other = fresh(recipe, 1)
    assert not same(other.pack(other.tally), saved)
    other.unpack(read_checkpoint(path), main=True)
    assert same(other.pack(other.tally), saved)
    for _ in range(after):
        advance(state, batches, 1)
        advance(other, batches, 1)
        assert same(other.pack(other.tally), state.pack(state.tally))


def test_a_checkpoint_holds_all_of_a_state(one_thread, times, tally, tmp_path_factory) -> None:
    counts = tally(
        "state of an optimiser, saved and read at a random step",
        "optimisers",
        "runs",
        "bit-identical",
    )
    refusals = {name: refusal(name) for name in OPTIMIZERS[:: times(1, 12)]}
    for name, error in refusals.items():
        assert error == "" or error.startswith(f"optimizer {name}"), error
        counts["refused in one clear line"] += bool(error)
    usable = [name for name, error in refusals.items() if not error]
    counts["optimisers"] = len(usable)

    def restored(optimizer: str, before: int, kept: bool, after: int) -> None:
        counts["runs"] += 1
        check(optimizer, before, kept, after, tmp_path_factory.mktemp("state"))
        counts["bit-identical"] += 1

    moments = st.integers(1, 9), st.booleans(), st.integers(2, 8)
    for name in usable:
        test = given(st.just(name), *moments)(restored)
        settings(max_examples=times(4, 1), deadline=None, derandomize=True, database=None)(test)()


@pytest.mark.parametrize("name", ["adam", "adamw", "momentum", "lion", "adafactor", "lamb"])
def test_a_usual_optimiser_can_be_resumed(name, one_thread, tmp_path) -> None:
    check(name, 3, True, 7, tmp_path)


def test_state_that_no_file_can_hold_is_refused_before_it_is_lost(one_thread) -> None:
    recipe, batches = prepared("momentum")
    state = fresh(recipe, 0)
    advance(state, batches, 1)
    next(iter(state.optimizer.state.values()))["history"] = [torch.zeros(3)]
    with pytest.raises(ZooError, match="the optimizer keeps history in a list, which no"):
        state.pack(state.tally)
