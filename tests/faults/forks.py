"""Training processes by the hundred: forked off one that has imported everything, in a second each.

Run as a program this file is that one. It has one thread and no OpenMP pool, which a fork would not
take along; pytest's own process may have both, so it talks to this one over pipes, a JSON a line.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import importlib
import io
import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

TESTS = Path(__file__).resolve().parent.parent
# With these everything is imported that a run imports.
_HEAVY = ("zoo.cli", "zoo.training.loop", "zoo.cli.recipe", "matplotlib.backends.backend_agg")
_PLANTS = ("faults.plants", "faults.points", "faults.poisons")
_PIPE_BYTES = 1 << 20


class Cells(ctypes.Structure):
    """What a training process and the test that watches it share; it outlives a kill."""

    _fields_ = [
        ("ready", ctypes.c_int64),  # 1 once the command handles signals
        ("phase", ctypes.c_int64),  # see plants.PHASES
        ("begun_at", ctypes.c_int64),  # the step that training began from; -1 before
        ("step", ctypes.c_int64),  # steps taken
        ("saved", ctypes.c_int64),  # step of the last save that returned; -1 before
        ("unsaved", ctypes.c_int64),  # steps since then
        ("saved_time", ctypes.c_double),
        ("late", ctypes.c_int64),  # steps taken though a save had been due
        ("signals", ctypes.c_int64),  # signals that the run has noted
        ("go", ctypes.c_int64),  # set by the test: leave the planted wait
        ("count", ctypes.c_int64),  # of whatever a plant counts
        ("seats", ctypes.c_int64 * 4),
    ]

    @classmethod
    def at(cls, path: Path) -> Cells:
        """The cells in a file."""
        with path.open("r+b") as file:
            return cls.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(cls)))

    @classmethod
    def new(cls, path: Path) -> Cells:
        """Cells of a process that has not started yet, in a new file."""
        path.write_bytes(bytes(ctypes.sizeof(cls)))
        cells = cls.at(path)
        cells.begun_at = cells.saved = -1
        return cells


class Plant(NamedTuple):
    """A function to call in a new process, by name, with its cells and these settings."""

    module: str
    name: str
    settings: dict[str, Any]


def plant(function: Callable[..., None], **settings: Any) -> Plant:
    """That function, to be called in a new process."""
    return Plant(function.__module__, function.__name__, settings)


class Ended(NamedTuple):
    """How a process ended: its exit code, or minus the signal that killed it, and what it said."""

    code: int
    out: str
    err: str


class Forks:
    """Starts zoo commands in forked processes; the test's end of the pipes.

    Attributes:
        has_own_mounts: whether file systems can be mounted where those processes run.
    """

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        prefix = _in_own_mounts()
        self.has_own_mounts = bool(prefix)
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "faults.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TESTS,
            env=environment | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
            start_new_session=True,  # an interrupt from the keyboard is for pytest alone
        )
        self._ask("ready")

    def start(self, words: list[str], plants: Sequence[Plant], cells: Path, **env: str) -> int:
        """Process id of a new process that runs ``zoo WORDS`` with these plants."""
        return self._ask("start", words=words, plants=plants, cells=str(cells), env=env)

    def wait(self, pid: int, seconds: float = 120.0) -> Ended | None:
        """How a process ended; None if it has not, by then."""
        answer = self._ask("wait", pid=pid, seconds=seconds)
        return None if answer is None else Ended(*answer)

    def run(self, *words: str) -> int:
        """Exit code of a program that runs where the started processes do, with their mounts."""
        return self._ask("run", words=words)

    def seen(self, path: Path) -> Path:
        """A path as those processes see it."""
        return Path(f"/proc/{self._process.pid}/root{path}")

    def close(self) -> None:
        """End the server and all that it started."""
        self._process.communicate(timeout=30)

    def _ask(self, what: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([what, arguments]), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, "the fork server is gone: see its stderr above"
        return json.loads(answer)


def _in_own_mounts() -> list[str]:
    """What starts a program whose mounts no other one sees and which end with it; [] if nothing."""
    for options in ("-m", "-rm"):  # as root, and as a user who may be root in a namespace
        prefix = ["unshare", options, "--propagation", "private"]
        allowed = (
            shutil.which("unshare")
            and subprocess.run([*prefix, "true"], capture_output=True).returncode
        )
        if allowed == 0:
            return prefix
    return []


class _Server:
    def __init__(self) -> None:
        self._pipes: dict[int, tuple[int, int]] = {}

    def ready(self) -> None:
        """Answer, now that all is imported."""

    def start(self, words: list[str], plants: list, cells: str, env: dict[str, str]) -> int:
        pipes = os.pipe(), os.pipe()
        for _, end in pipes:
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)  # no one reads before the end
        pid = os.fork()
        if pid == 0:
            try:
                for number, (_, end) in enumerate(pipes, 1):
                    os.dup2(end, number)
                _run_zoo(words, plants, Path(cells), env)
            finally:  # whatever a signal does to it at its very end, it must not be a second server
                os._exit(72)
        for _, end in pipes:
            os.close(end)
        self._pipes[pid] = pipes[0][0], pipes[1][0]
        return pid

    def wait(self, pid: int, seconds: float) -> list[Any] | None:
        until = time.monotonic() + seconds
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > until:
                return None
            time.sleep(0.002)
        texts = []
        for end in self._pipes.pop(pid):
            with open(end, "rb") as pipe:  # noqa: PTH123  (a handle, no path)
                texts.append(pipe.read().decode())
        return [os.waitstatus_to_exitcode(status), *texts]

    def run(self, words: list[str]) -> int:
        return subprocess.run(words, stdout=subprocess.DEVNULL).returncode

    def end(self) -> None:
        for pid in self._pipes:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _run_zoo(words: list[str], plants: list, cells: Path, env: dict[str, str]) -> NoReturn:
    """Be the zoo command, and end as it does: this is the forked process, for the rest of it."""
    code: int | str | None = 70
    try:
        # What the server read ahead from its pipe is not this process's to read.
        sys.stdin = io.StringIO()
        sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
        os.environ.update(env)
        from zoo.cli import main

        for module, name, settings in plants:
            getattr(importlib.import_module(module), name)(Cells.at(cells), **settings)
        sys.argv = ["zoo", *words]
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                pass
        os._exit(code if isinstance(code, int) else 71)


def _warm_up() -> None:
    """Do once what every process would do again: imports, data, fonts."""
    import torch

    torch.set_num_threads(1)
    for name in _HEAVY + _PLANTS:
        importlib.import_module(name)
    plants: Any = importlib.import_module("faults.plants")
    plants.keep_data()
    from matplotlib.figure import Figure

    Figure().subplots().set_title("fonts")
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    assert threads == 1, f"{threads} threads: a fork would take one of them along"
    gc.freeze()  # collecting would copy every page into every process


def _serve() -> None:
    _warm_up()
    server = _Server()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        what, arguments = json.loads(line)
        print(json.dumps(getattr(server, what)(**arguments)), file=answers)
    server.end()
    os._exit(0)  # some library complains otherwise


if __name__ == "__main__":
    _serve()
