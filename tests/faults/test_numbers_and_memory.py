"""NaN, infinity and a lack of memory: named with their place, and never in a file."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

from safetensors.torch import load_file

from faults.forks import plant
from faults.poisons import out_of_memory, poisoned, starved
from faults.runs import STEPS, STEPS_PER_EPOCH, checkpoints, finished, litter, whole

SEED = 23
WHERE = ("loss", "gradient", "weight", "average", "moment")
NET = "weight of the net"
VALUES = (math.nan, math.inf, -math.inf)


def words(where: str, step: int) -> tuple[str, str]:
    """What the error must say of a fault in this step."""
    epoch, i = divmod(step - 1, STEPS_PER_EPOCH)
    if where in ("loss", "gradient"):
        what = "the loss is" if where == "loss" else "is not finite at"
        return what, f"at epoch {epoch + 1}, step {i + 1} (step {step} of the run)\n"
    return "holds a value that is not finite", f"after step {step}, in epoch {epoch + 1}\n"


def all_finite(out: Path) -> bool:
    """Whether no file of a run holds a value that is not finite."""
    files = [*checkpoints(out), *out.glob("model.safetensors")]
    tensors = [tensor for file in files for tensor in load_file(file).values()]
    return all(bool(tensor.isfinite().all()) for tensor in tensors if tensor.is_floating_point())


def test_a_value_that_is_not_finite_is_never_saved(runs, times, tally) -> None:
    names = ("runs", "stopped at that step", "files with such a value", "bit-identical without it")
    counts = tally(
        "NaN and infinity at random steps", *(f"in the {name}" for name in WHERE), *names
    )
    dice = random.Random(SEED)
    for i in range(times(30, 5)):
        where, value = WHERE[i % len(WHERE)], VALUES[i // len(WHERE) % len(VALUES)]
        step = dice.randint(2, STEPS)
        fault = plant(poisoned, where=where, step=step, value=value, seed=i)
        run = runs.start(runs.folder(), fault)
        ended = run.ended()
        counts[f"in the {where}"] += 1
        counts["runs"] += 1
        assert ended.code == 1, ended.err
        for text in words(where, step):
            assert ended.err.startswith("error: ") and text in ended.err
        assert "is not an error we foresaw" not in ended.err
        # Where it shows in the step itself that step is not taken, else it is not saved.
        assert run.cells.step == step - (where in ("loss", "gradient"))
        assert run.cells.saved == whole(run.out)[-1] == step - 1
        counts["stopped at that step"] += 1
        counts["files with such a value"] += not all_finite(run.out)
        assert not finished(run.out) and litter(run.out) == []
        if i < times(10, 1):
            assert runs.finish(run.out).cells.begun_at == step - 1
            counts["bit-identical without it"] += 1
    assert counts["files with such a value"] == 0


def test_a_weight_spoilt_between_saves_is_found_before_it_is_kept(runs, times, tally) -> None:
    counts = tally("NaN in a weight, near the end, nothing saved before", "runs", "stopped")
    for i in range(times(STEPS_PER_EPOCH, 2)):
        fault = plant(poisoned, where=NET, step=STEPS - i, value=math.nan, seed=i)
        run = runs.start(runs.folder(), fault, variant="last", save_every=60)
        ended = run.ended()
        assert ended.code == 1, ended.err
        found = r"(the loss is nan at|is not finite after step \d+, in) epoch 3\b"
        assert re.search(found, ended.err), ended.err
        assert checkpoints(run.out) == [] == list(run.out.glob("*.safetensors"))
        counts.update(["runs", "stopped"])


def test_memory_that_runs_out_in_validation_changes_nothing(runs, times, tally) -> None:
    counts = tally("out of memory in validation", "times", "runs", "bit-identical", "halvings")
    dice = random.Random(SEED)
    while counts["times"] < times(12, 2):
        # Two ops in each of three layers, in batches that get smaller each time it runs out.
        calls = sorted(dice.sample(range(1, 20), dice.randint(1, 3)))
        run = runs.start(runs.folder(), plant(out_of_memory, calls=calls))
        ended = run.ended()
        assert ended.code == 0, ended.err
        assert run.cells.count == len(calls)
        counts["halvings"] += ended.err.count("images at a time: going on with")
        counts["times"] += run.cells.count
        counts["runs"] += 1
        assert runs.differences(run.out) == []
        counts["bit-identical"] += 1
    assert counts["halvings"] == counts["times"]


def test_memory_that_runs_out_in_training_is_a_clear_error(runs, times, tally) -> None:
    counts = tally("out of memory in a training step", "runs", "clear errors", "bit-identical then")
    dice = random.Random(SEED)
    for _ in range(times(6, 1)):
        step = dice.randint(2, STEPS)
        run = runs.start(runs.folder(), plant(starved, step=step))
        ended = run.ended()
        counts["runs"] += 1
        epoch, i = divmod(step - 1, STEPS_PER_EPOCH)
        place = f"at epoch {epoch + 1}, step {i + 1} (step {step} of the run)"
        assert ended.code == 1 and ended.err.startswith(f"error: out of memory {place}\n  share ")
        counts["clear errors"] += 1
        assert runs.finish(run.out).cells.begun_at == step - 1
        counts["bit-identical then"] += 1
