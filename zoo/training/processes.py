"""Several processes as one: what one of them must do, all do; what one fails at, all learn of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, InitProcessGroupKwargs, broadcast_object_list
from torch import Tensor

from zoo.errors import UsageError, ZooError
from zoo.recipes import Recipe

T = TypeVar("T")

# A process that dies closes its connections, and all others fail at once. One that hangs, or whose
# machine is cut off, does not: the others wait this long in a collective operation.
PATIENCE = timedelta(seconds=100)

_PRECISIONS = {"float32": "no", "bfloat16": "bf16"}
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
    """
    precision = _PRECISIONS[recipe.precision]
    configured = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if configured not in ("no", precision):
        raise UsageError(
            f"accelerate is configured for mixed precision {configured}, "
            f"the recipe for {recipe.precision}\n"
            "  precision belongs to the recipe: override precision=bfloat16, or leave accelerate's "
            "mixed_precision at no"
        )
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
        raise UsageError(f"accelerate cannot be set up: {error}") from None
    missing = set(trackers) - {str(getattr(one, "value", one)) for one in accelerator.log_with}
    if missing:
        raise UsageError(
            f"tracker {', '.join(sorted(missing))} is not installed\n"
            f"  pip install {' '.join(sorted(missing))}"
        )
    if accelerator.distributed_type not in _DATA_PARALLEL:
        raise UsageError(
            f"accelerate is configured for {accelerator.distributed_type.value}; "
            "the zoo trains data-parallel only\n"
            "  its largest nets need 2 GB with optimiser state, so nothing is gained by splitting "
            "them: use a configuration from launch/"
        )
    return accelerator


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
    """One number a tensor, which any changed bit changes."""
    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    words = (tensor.detach().contiguous() for tensor in tensors)
    return torch.stack([word.view(integers[word.element_size()]).sum().long() for word in words])


def lost_process(error: RuntimeError) -> bool:
    """Whether an error says that another process is gone."""
    if isinstance(error, torch.distributed.DistError):
        return True
    return "gloo" in str(error).lower() or "connection closed by peer" in str(error).lower()
