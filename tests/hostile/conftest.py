"""Weight folders to spoil, no network, and the report of what became of the spoiled ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.conftest import Tally, times  # noqa: F401  (a fixture)

from hostile.folders import Folder, published, tiny_folder, tiny_pruned_folder

REPORT = pytest.StashKey[list[Tally]]()


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may ask for a download."""
    monkeypatch.setenv("ZOO_OFFLINE", "1")


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


@pytest.fixture(scope="session")
def folders() -> Iterator[list[Folder]]:
    """Weight folders: a tiny net, a tiny pruned one, and two that are published."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # they are written 100,000 times
    with tempfile.TemporaryDirectory(prefix="hostile-", dir=memory) as temporary:
        root = Path(temporary)
        yield [tiny_folder(root), tiny_pruned_folder(root), *published(root)]


@pytest.fixture
def folder(folders: list[Folder]) -> Folder:
    """The tiny net's folder, whole."""
    folders[0].restore()
    return folders[0]


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that payloads make when they run."""
    return tmp_path / "canary"


def pytest_terminal_summary(terminalreporter, config) -> None:
    lines = config.stash.get(REPORT, [])
    if lines:
        terminalreporter.section("hostile files")
        for line in lines:
            terminalreporter.line(str(line))
