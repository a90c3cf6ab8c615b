"""What faults are planted in: runs in a temporary folder, forked from one process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from faults.forks import Forks
    from faults.runs import Runs

if sys.platform != "linux":  # what is faked here, and what it is faked with, belongs to Linux
    collect_ignore_glob = ["*.py"]


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
