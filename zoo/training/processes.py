"""Several processes as one: what one of them must do, all do; what one fails at, all learn of."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import get_available_trackers
from accelerate.utils import (
    DistributedType,
    InitProcessGroupKwargs,
    LoggerType,
    broadcast_object_list,
)
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zoo.errors import UsageError, ZooError
from zoo.recipes import Recipe

T = TypeVar("T")

# A process that dies closes its connections, and all others fail at once. One that hangs, or whose
# machine is cut off, does not: the others wait this long in a collective operation.
PATIENCE = timedelta(seconds=100)

# A launcher ends all processes soon after the first one: by then the main one must have said why.
_LAST_WORDS_SECONDS = 3.0

_PRECISIONS = {"float32": "no", "bfloat16": "bf16"}
# What accelerate asks for by environment, and on CPUs then leaves out without a word.
_SPLITTING = {
    "ACCELERATE_USE_FSDP": DistributedType.FSDP,
    "ACCELERATE_USE_DEEPSPEED": DistributedType.DEEPSPEED,
    "ACCELERATE_USE_MEGATRON_LM": DistributedType.MEGATRON_LM,
}
# What accelerate would do behind a recipe's back: divide losses; compile, and allow TF32.
_PLAIN = {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1", "ACCELERATE_DYNAMO_BACKEND": "no"}
_DATA_PARALLEL = {
    DistributedType.NO,
    DistributedType.MULTI_CPU,
    DistributedType.MULTI_GPU,
    DistributedType.MULTI_XPU,
    DistributedType.MULTI_NPU,
}


def make_accelerator(recipe: Recipe, folder: Path, trackers: Sequence[str]) -> Accelerator:
    """accelerate's view of this process, under what `accelerate launch` or nobody configured.

    Raises:
        UsageError: a configuration that a recipe decides, or that the zoo cannot train under.
        ZooError: the other processes do not come.
    """
    precision = _PRECISIONS[recipe.precision]
    configured = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if configured not in ("no", precision):
        _refuse(
            f"accelerate is configured for mixed precision {configured}, "
            f"the recipe for {recipe.precision}\n"
            "  precision belongs to the recipe: override precision=bfloat16, or leave accelerate's "
            "mixed_precision at no"
        )
    for variable, plain in _PLAIN.items():
        value = os.environ.get(variable, plain)
        if value.lower() != plain:
            _refuse(
                f"accelerate is configured with {variable}={value}\n"
                f"  a run is a function of its recipe: leave it at {plain}"
            )
    for variable, kind in _SPLITTING.items():
        if os.environ.get(variable, "false").lower() == "true":
            _check_data_parallel(kind)
    _check_trackers(trackers)
    # Another recipe of this program may have had another precision.
    AcceleratorState._reset_state()
    # On CPUs alone accelerate would start processes that know nothing of each other.
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    alone = several and not (torch.accelerator.is_available())
    try:
        accelerator = Accelerator(
            cpu=alone,
            mixed_precision=precision,
            log_with=list(trackers) or None,
            project_dir=folder / "trackers",
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
    except ValueError as error:
        _refuse(f"accelerate cannot be set up: {error}")
    except RuntimeError as error:
        if several and lost_process(error):
            raise ZooError(
                f"the {os.environ['WORLD_SIZE']} processes of this run do not find each other\n"
                "  start them all within 100 s, with an address and port that all of them reach"
            ) from error
        raise
    atexit.register(_part)
    _check_data_parallel(accelerator.distributed_type)
    return accelerator


def _check_trackers(names: Sequence[str]) -> None:
    known = [kind.value for kind in LoggerType if kind is not LoggerType.ALL]
    here = [kind.value for kind in get_available_trackers()]
    for name in names:
        if name not in known:
            _refuse(f"unknown tracker {name!r}: accelerate knows {', '.join(known)}")
        if name not in here:
            _refuse(f"tracker {name} is not installed\n  pip install {name}")


def _check_data_parallel(kind: DistributedType) -> None:
    if kind not in _DATA_PARALLEL:
        _refuse(
            f"accelerate is configured for {kind.value}; the zoo trains data-parallel only\n"
            "  its largest nets need 2 GB with optimiser state, so nothing is gained by splitting "
            "them: use a configuration from launch/"
        )


def _refuse(message: str) -> NoReturn:
    """A usage error that every process meets, and one says."""
    if not is_main_process():
        time.sleep(_LAST_WORDS_SECONDS)
        raise SystemExit(UsageError.exit_code)
    raise UsageError(message)


@contextmanager
def together(accelerator: Accelerator) -> Iterator[None]:
    """The time of a run with its other processes.

    Raises:
        ZooError: another process is gone.
    """
    try:
        yield
        accelerator.wait_for_everyone()
    except RuntimeError as error:
        if accelerator.num_processes > 1 and lost_process(error):
            raise ZooError(
                "another process of this run is gone; the last checkpoint is kept\n"
                "  go on with the same command and --resume"
            ) from error
        raise
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()


def _part() -> None:
    """Leave the other processes before the interpreter shuts down.

    A thread of gloo's holds the tensors of an operation for a moment after it is over. Letting go
    of them takes Python's lock, and to want that from an interpreter that shuts down aborts the
    process, all its work done (github.com/pytorch/pytorch/issues/190489). These threads end with
    their process group. Not sooner: the next run of a program trains with the same processes.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def unwrap(module: nn.Module) -> None:
    """Empty a wrapper for several processes, whoever still holds it: it holds the process group.

    The last to hold that waits for its threads, and a wrapper would with Python's lock in its hand.
    """
    if isinstance(module, DistributedDataParallel):
        vars(module).clear()


def is_main_process() -> bool:
    """Whether this process speaks for all, asked without torch."""
    return os.environ.get("RANK", "0") == "0"


def largest(accelerator: Accelerator, *values: int) -> list[int]:
    """The largest of each value over all processes: a flag that one of them raises, all see."""
    if accelerator.num_processes == 1:
        return list(values)
    reduced = torch.tensor(values, dtype=torch.int64, device=accelerator.device)
    torch.distributed.all_reduce(reduced, torch.distributed.ReduceOp.MAX)
    return reduced.tolist()


def on_main(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """What `work` returns, called in the main process only; its failure ends every process."""
    if accelerator.num_processes == 1:
        return work()
    outcome: list[T | ZooError | None] = [None]
    if accelerator.is_main_process:
        try:
            outcome = [work()]
        except ZooError as error:
            outcome = [error]
    broadcast_object_list(outcome)
    if isinstance(outcome[0], ZooError):
        fail_together(accelerator, outcome[0])
    return outcome[0]  # pyright: ignore[reportReturnType]


def fail_together(accelerator: Accelerator, error: ZooError) -> NoReturn:
    """End every process by an error that all of them have: the main process says it."""
    if accelerator.is_main_process:
        raise error
    time.sleep(_LAST_WORDS_SECONDS)
    raise SystemExit(error.exit_code)


def check_equal_bits(accelerator: Accelerator, tensors: Mapping[str, Tensor]) -> None:
    """Refuse to go on with processes whose tensors differ, be it in one bit.

    Raises:
        ZooError: they do; a wrapper for several processes was bypassed somewhere.
    """
    if accelerator.num_processes == 1:
        return
    mine_T = _bit_sums(tensors.values()).to(accelerator.device)
    all_RT = accelerator.gather(mine_T[None])
    assert isinstance(all_RT, Tensor)
    differ_T = (all_RT != all_RT[:1]).any(0).tolist()
    names = [name for name, differs in zip(tensors, differ_T, strict=True) if differs]
    if names:
        error = f"processes have drifted apart: they disagree about {', '.join(names[:5])}"
        fail_together(accelerator, ZooError(f"{error}\n  this is a bug: please report it"))


def _bit_sums(tensors: Iterable[Tensor]) -> Tensor:
    """One number a tensor, which any changed bit changes.

    Elements have weights, so that changes which cancel each other are seen too; odd ones, so that
    none is lost: the sums are modulo 2^64.
    """
    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = []
    for tensor in tensors:
        word_N = tensor.detach().contiguous().view(integers[tensor.element_size()]).flatten()
        odd_N = 2 * torch.arange(len(word_N), device=tensor.device) + 1
        sums.append((word_N * odd_N).sum())
    return torch.stack(sums)


def lost_process(error: RuntimeError) -> bool:
    """Whether an error says that another process is gone."""
    if isinstance(error, torch.distributed.DistError):
        return True
    return "gloo" in str(error).lower() or "connection closed by peer" in str(error).lower()
