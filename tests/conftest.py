"""One small trained and published model for all tests that need a real one; figures; one thread."""

from __future__ import annotations

import gc
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tally import Tally
from zoo.paths import recipes_dir

NAME = "linf_dist_mlp3.digits_eps0.1"
OTHER = "linf_dist_mlp5.mnist_eps0.3_small"  # a recipe without weights
REPORT = pytest.StashKey[list[Tally]]()
TINY = {"model.width": 16, "epochs": 2, "evaluate_every": 1}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="the long tiers: make faults, kernels, soundness",
    )


@pytest.fixture
def times(pytestconfig) -> Callable[[int, int], int]:
    """The first number under --full, else the second."""
    full = pytestconfig.getoption("--full", default=False)
    return lambda many, few: many if full else few


@pytest.fixture
def only_full(pytestconfig) -> None:
    """Skip a test that takes seconds for a single fault, but for --full."""
    if not pytestconfig.getoption("--full", default=False):
        pytest.skip("takes its time: --full")


@pytest.fixture
def tally(pytestconfig) -> Callable[..., Tally]:
    """A line of the report: its title, and names of what may well stay 0."""

    def begin(title: str, *names: str) -> Tally:
        lines = pytestconfig.stash.setdefault(REPORT, [])
        line = next((line for line in lines if line.title == title), None)
        if line is None:
            lines.append(line := Tally(title, *names))
        return line

    return begin


def pytest_collection_finish() -> None:
    gc.freeze()  # all that was imported for good: a collection looks at what came since


def pytest_sessionfinish() -> None:
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter, config) -> None:
    lines = config.stash.get(REPORT, [])
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.line(str(line))


@pytest.fixture
def zoo_(capfd, monkeypatch, tmp_path):
    """Run a command in this process, in an empty folder: exit code, stdout, stderr."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def run(*words: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, words)])
        import zoo.cli

        with pytest.raises(SystemExit) as end:
            zoo.cli.main()
        return end.value.code, *capfd.readouterr()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """Run folder of two epochs on digits at width 16."""
    from zoo.training import run_training

    out = tmp_path_factory.mktemp("runs") / "tiny"
    return run_training(NAME, out=out, overrides=TINY, quiet=True).path


@pytest.fixture(scope="session")
def shelf(run: Path, tmp_path_factory) -> Path:
    """Folder with index.json and the weight folder of that run, attacked briefly."""
    from zoo.attacks.pgd import PGD
    from zoo.publishing.from_run import publish

    out = tmp_path_factory.mktemp("shelf")
    publish(run, out=out, attack=PGD(steps=2))
    return out


@pytest.fixture
def weights(shelf: Path, tmp_path: Path) -> Path:
    """A copy of the weight folder, for a test to damage."""
    return Path(shutil.copytree(shelf / NAME, tmp_path / "copy"))


@pytest.fixture
def own(shelf: Path, tmp_path: Path, monkeypatch) -> Path:
    """A source tree of two recipes and the tiny model; zoo takes it for its own."""
    tree = tmp_path / "tree"
    (tree / "recipes").mkdir(parents=True)
    for name in ("_linf_dist", NAME, OTHER):
        shutil.copy(recipes_dir() / f"{name}.yaml", tree / "recipes")
    shutil.copytree(shelf, tree / "weights")
    (tree / "pyproject.toml").touch()
    monkeypatch.setattr("zoo.paths._PACKAGE", tree / "zoo")
    return tree


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread in torch, for tensors so small that threads would only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def kernels() -> None:
    """Native kernels behind the ops; a test that is about them has nothing to do without."""
    from zoo.ops import native

    if not native.load():
        pytest.skip(f"no native kernels: {native.describe()}")
