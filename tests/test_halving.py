"""Halving: where memory runs out, smaller batches of the same images, and the same verdicts.

Shapes: N images of a split, B batch.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoo import halving
from zoo.attacks.pgd import PGD
from zoo.certification import Report, evaluate
from zoo.certification.certifier import strict_argmax
from zoo.data.load import load_data
from zoo.data.pixels import Pixels
from zoo.errors import FalsifiedError, UsageError, ZooError
from zoo.halving import in_batches, out_of_memory
from zoo.layers import lp_dist as layer_module
from zoo.models import LinfDistMLP, fold

ROOT = Path(__file__).parent.parent

# What the CPU allocator of torch 2.15 says, word for word.
ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4320000 bytes. Error code 12 (Cannot allocate memory)"
)
OUT_OF_MEMORY = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    lambda: RuntimeError(ALLOCATOR),
    MemoryError,
]
OTHERS = [
    lambda: ValueError("out of memory"),
    lambda: RuntimeError("shapes do not fit"),
    lambda: RuntimeError(7),
    lambda: FalsifiedError("a soundness bug"),
    KeyboardInterrupt,
]


def fails_above(limit: int, error: Callable[[], BaseException]) -> Callable[[Tensor], list[int]]:
    """Work that takes no more than so many images at a time."""

    def work(idx_B: Tensor) -> list[int]:
        if len(idx_B) > limit:
            raise error()
        return idx_B.tolist()

    return work


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 60), st.integers(1, 70), st.integers(1, 70), st.sampled_from(OUT_OF_MEMORY))
def test_each_index_comes_once_and_in_order(n, batch_size, limit, error):
    patch = pytest.MonkeyPatch()  # hypothesis forbids the fixture
    patch.setattr(halving, "clear_device_cache", lambda garbage_collection: None)  # it is slow
    try:
        found = list(in_batches(n, batch_size, fails_above(limit, error), quiet=True))
    finally:
        patch.undo()
    assert [i for idx_B, _ in found for i in idx_B.tolist()] == list(range(n))
    assert all(idx_B.tolist() == result for idx_B, result in found)
    sizes = [len(idx_B) for idx_B, _ in found]
    assert all(size <= min(batch_size, limit) for size in sizes)
    # Halved no further than needed: twice the size, and one for what halving lost, had failed.
    assert not sizes or sizes[0] == min(n, batch_size) or 2 * sizes[0] + 1 > limit


def test_a_last_batch_that_is_small_is_halved_itself():
    sizes = []

    def work(idx_B: Tensor) -> None:
        sizes.append(len(idx_B))
        if int(idx_B[-1]) == 19 and len(idx_B) > 1:
            raise MemoryError

    list(in_batches(20, 16, work, quiet=True))
    assert sizes == [16, 4, 2, 2, 1, 1]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_what_the_failed_call_held_is_gone_before_the_next(error):
    held: list[weakref.ref] = []

    def work(idx_B: Tensor) -> None:
        assert all(ref() is None for ref in held)
        big_B = torch.ones(len(idx_B))
        held.append(weakref.ref(big_B))
        if len(idx_B) > 2:
            circle: dict[str, Any] = {"error": error(), "tensor": big_B}
            circle["itself"] = circle  # freed by the collector alone
            raise circle["error"]

    assert len(list(in_batches(16, 16, work, quiet=True))) == 8


def test_one_line_says_so_unless_quiet(capsys):
    work = fails_above(4, MemoryError)
    list(in_batches(8, 8, work))
    assert capsys.readouterr() == ("", "out of memory with 8 images at a time: going on with 4\n")
    list(in_batches(8, 8, work, quiet=True))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_a_single_image_that_does_not_fit_is_an_error_that_says_so(error):
    with pytest.raises(ZooError, match=r"one image \(index 0\)(.|\n)*free: end other programs"):
        list(in_batches(5, 2, fails_above(0, error), quiet=True))


@pytest.mark.parametrize("error", OTHERS)
def test_other_errors_pass_untouched_and_are_not_tried_again(error):
    raised, calls = error(), []

    def work(idx_B: Tensor) -> None:
        calls.append(idx_B)
        raise raised

    with pytest.raises(BaseException) as caught:
        list(in_batches(8, 4, work))
    assert caught.value is raised and len(calls) == 1
    assert raised.__cause__ is None and raised.__context__ is None


def test_an_error_of_who_takes_the_results_is_not_tried_again():
    seen = []
    with pytest.raises(MemoryError):
        for idx_B, _ in in_batches(8, 4, len):
            seen.append(idx_B.tolist())
            raise MemoryError
    assert seen == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    "text",
    [
        ALLOCATOR,
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "std::bad_alloc",
    ],
)
def test_memory_is_known_by_what_libraries_say_of_it(text):
    assert out_of_memory(RuntimeError(text)) and out_of_memory(RuntimeError(text, "and more"))
    assert not out_of_memory(ValueError(text))


def test_a_batch_of_no_image_is_refused():
    for batch_size in (0, -1):
        with pytest.raises(UsageError, match="at least 1"):
            list(in_batches(5, batch_size, len))


def net_and_pixels(width: int = 12, count: int = 40) -> tuple[LinfDistMLP, Pixels]:
    """A random net, and images labelled with what it says of them."""
    torch.manual_seed(0)
    net = fold(LinfDistMLP(2, width=width, in_chans=1, img_size=8, mean=0.3, std=0.37).eval())
    pixels = load_data("digits", "test").take(count)
    x_NCHW, _ = pixels.batch(torch.arange(count))
    with torch.no_grad():
        return net, replace(pixels, y_N=strict_argmax(net(x_NCHW)))


def verdicts(report: Report) -> tuple:
    """All of a report but how long it took."""
    return [replace(row, seconds=0.0) for row in report.rows], report.samples


Found = tuple[tuple, list[int], int]


@pytest.fixture
def disturbed(monkeypatch) -> Callable[..., Found]:
    """Evaluates with distance layers that raise an error where `when` (call, rows) says so.

    Returns the verdicts, the indices that came through, and the number of calls.
    """

    def run(when: Callable[[int, int], bool], error=MemoryError, bound="lipschitz") -> Found:
        net, pixels = net_and_pixels()
        rows, seen, done = [], [], []

        def wrapped(op: Callable) -> Callable:
            def call(x_BI: Tensor, *others: Any) -> Any:
                rows.append(len(x_BI))
                if when(len(rows), len(x_BI)):
                    raise error()
                return op(x_BI, *others)

            return call

        def recorded(*arguments: Any, **options: Any) -> Iterator[tuple[Tensor, Any]]:
            for idx_B, result in in_batches(*arguments, **options):
                seen.extend(idx_B.tolist())
                yield idx_B, result

        options = {"eps": ["0.02", "0.05"], "attack": PGD(steps=2, restarts=3), "batch_size": 16}
        with monkeypatch.context() as patch:
            for name in ("lp_dist", "linf_dist_bounds"):
                patch.setattr(layer_module, name, wrapped(getattr(layer_module, name)))
            # The package exports the function under the name of its module.
            module = importlib.import_module("zoo.certification.evaluate")
            patch.setattr(module, "in_batches", recorded)
            report = evaluate(
                net,
                pixels,
                bound=bound,
                quiet=True,
                progress=lambda *at: done.append(at),
                **options,
            )
        assert done[-1] == (40, 40) and done == sorted(set(done))
        return verdicts(report), seen, len(rows)

    return run


@pytest.mark.parametrize("bound", ["lipschitz", "interval"])
def test_verdicts_are_those_of_an_undisturbed_evaluation(disturbed, bound, times):
    expected, seen, calls = disturbed(lambda call, rows: False, bound=bound)
    (row, _), _ = expected
    assert seen == list(range(40)) and calls > 60
    assert min(row.n_certified, row.n_falsified, row.n_unknown) > 0
    failures = times(12, 3)
    for i in range(failures):
        at = 1 + i * (calls - 1) // (failures - 1)  # the first call, the last, and some between
        found, seen, more = disturbed(
            lambda call, rows, at=at: call == at, OUT_OF_MEMORY[i % 3], bound
        )
        assert found == expected and seen == list(range(40)) and more > calls
    for limit in (8, 3, 1)[: times(3, 1)]:  # no larger batch ever fits
        found, seen, _ = disturbed(lambda call, rows, limit=limit: rows > limit, bound=bound)
        assert found == expected and seen == list(range(40))


def test_an_evaluation_that_no_image_fits_into_says_so(disturbed):
    with pytest.raises(ZooError, match="one image"):
        disturbed(lambda call, rows: True)


# Blocks bound what an op holds beside its output; the outputs (B, width) are what does not fit.
REAL = """
import resource
from pathlib import Path
from tests.test_halving import net_and_pixels, verdicts
from zoo.attacks.pgd import PGD
from zoo.certification import evaluate

net, pixels = net_and_pixels(width=5000, count=360)
settings = {"eps": "0.02", "attack": PGD(steps=1)}
whole = evaluate(net, pixels, batch_size=32, **settings)
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 60 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
halved = evaluate(net, pixels, batch_size=360, **settings)
assert verdicts(halved) == verdicts(whole)
row = halved.rows[0]
print(row.n, row.n_certified, row.n_falsified, row.n_unknown)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
@pytest.mark.usefixtures("only_full")
def test_a_process_that_really_runs_out_of_memory_finds_the_same(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # a thread takes address space of its own
    command = [sys.executable, "-c", REAL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "out of memory with 360 images at a time: going on with 180\n" in done.stderr
    n, *parts = map(int, done.stdout.split())
    assert n == sum(parts) == 360 and min(parts) > 0
