"""Weight folders to spoil, and no network."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile.folders import Folder, published, tiny_folder, tiny_pruned_folder


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may ask for a download."""
    monkeypatch.setenv("ZOO_OFFLINE", "1")


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
