"""Counts of faults, small ones by default, and the report of what became of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from faults.forks import Forks
    from faults.runs import Runs

if sys.platform != "linux":  # what is faked here, and what it is faked with, belongs to Linux
    collect_ignore_glob = ["*.py"]

REPORT = pytest.StashKey[list["Tally"]]()


class Tally(Counter):
    """Figures of one kind of fault, in the order in which they are first counted."""

    def __init__(self, title: str, *names: str):
        super().__init__(dict.fromkeys(names, 0))
        self.title = title

    def most(self, name: str, value: int) -> None:
        """Keep the largest value."""
        self[name] = max(self[name], value)

    def __str__(self) -> str:
        texts = (
            name.format(count) if "{}" in name else f"{count} {name}"
            for name, count in self.items()
        )
        return f"{self.title}: {', '.join(texts)}".removesuffix(": ")


@pytest.fixture
def times(pytestconfig) -> Callable[[int, int], int]:
    """The first number under --full, else the second."""
    full = pytestconfig.getoption("--full", default=False)
    return lambda many, few: many if full else few


@pytest.fixture
def only_full(pytestconfig) -> None:
    """Skip a test that takes seconds for a single fault, but for --full."""
    if not pytestconfig.getoption("--full", default=False):
        pytest.skip("takes its time: make faults")


@pytest.fixture
def tally(pytestconfig) -> Callable[..., Tally]:
    """A new line of the report: its title, and names of what may well stay 0."""

    def begin(title: str, *names: str) -> Tally:
        line = Tally(title, *names)
        pytestconfig.stash.setdefault(REPORT, []).append(line)
        return line

    return begin


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """The process that others are forked from."""
    from faults.forks import Forks

    server = Forks()
    yield server
    server.close()


@pytest.fixture(scope="session")
def runs(forks: Forks, tmp_path_factory) -> Runs:
    """Runs in a temporary folder."""
    from faults.runs import Runs

    return Runs(forks, tmp_path_factory.mktemp("faults"))


def pytest_terminal_summary(terminalreporter, config) -> None:
    lines = config.stash.get(REPORT, [])
    if lines:
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.line(str(line))
