"""Compiling native kernels: races, kills, missing and failing compilers, damaged libraries.

Each test has a cache of its own. Where the instruction set does not matter, the kernels are the
portable ones, unoptimised, compiled once.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.errors import UsageError, ZooError
from zoo.ops import native
from zoo.ops.build import build, instruction_set, library_path

ROOT = Path(__file__).parent.parent
REAL = shlex.split(os.environ.get("CXX") or "c++")
pytestmark = pytest.mark.skipif(shutil.which(REAL[0]) is None, reason="no C++ compiler")

USE = """
import torch
from zoo.ops import linf_dist, lp_dist, native
x_BI, w_OI = torch.tensor([[0.0, 3.0]]), torch.tensor([[4.0, 0.0]])
for _ in range(2):
    print(f"{lp_dist(x_BI, w_OI, 2).item():.4f}", linf_dist(x_BI, w_OI).item())
print(native.describe())
"""
RIGHT = ["5.0000 4.0", "5.0000 4.0"]
NATIVE = [*RIGHT, "native (portable)"]


def script(path: Path, body: str) -> Path:
    """A compiler of our own; `real` is the one that the machine has."""
    path.write_text(f'#!/bin/sh\nreal() {{ {shlex.join(REAL)} "$@"; }}\n{body}\n')
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def compiler(tmp_path_factory) -> Path:
    """Has compiled the portable kernels, unoptimised, and hands out what it made from then on."""
    made = tmp_path_factory.mktemp("made")
    last = "for output; do :; done"  # the output is the last argument
    first = script(made / "first", f'{last}; real "$@" -O0 && cp "$output" {made}/"$output"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_HOME", str(made))
        patch.setenv("ZOO_ISA", "portable")
        patch.setenv("CXX", str(first))
        build()
    return script(made / "again", f'{last}; cp {made}/"$output" "$output"')


@pytest.fixture
def home(compiler: Path, tmp_path: Path, monkeypatch) -> Path:
    """An empty cache, for this process and those that it starts."""
    (tmp_path / "tmp").mkdir()
    changes = {"ZOO_HOME": tmp_path / "home", "TMPDIR": tmp_path / "tmp", "CXX": compiler}
    changes |= {"ZOO_ISA": "portable", "ZOO_OPS": "auto", "OMP_NUM_THREADS": "1"}
    for name, value in changes.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("tempfile.tempdir", None)  # TMPDIR is read again
    return tmp_path / "home"


def start(code: str = USE, **kwargs) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes, **kwargs)


def lines(running: subprocess.Popen[str]) -> tuple[list[str], str]:
    """What a process printed, and what it complained about."""
    out, err = running.communicate(timeout=100)
    assert running.returncode == 0, err
    return out.splitlines(), err


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def only_library(home: Path) -> Path:
    """The one file of the cache; nothing is left of what it was made from."""
    (path,) = (home / "kernels").iterdir()
    assert path == library_path() and not list((home.parent / "tmp").glob("zoo-build-*"))
    return path


# ---------------------------------------------------------------------------------- races and kills


@pytest.mark.usefixtures("only_full")
def test_processes_that_race_are_all_right_and_leave_one_library(home, compiler, monkeypatch):
    # Each waits until the two units of all four have begun.
    gate = script(
        home.parent / "gate",
        f"""
        case "$*" in *-shared*) ;; *)
            touch {home.parent}/begun.$$
            for _ in $(seq 600); do
                [ $(ls {home.parent}/begun.* | wc -l) -ge 8 ] && break
                sleep 0.1
            done
        esac
        exec {compiler} "$@" """,
    )
    monkeypatch.setenv("CXX", str(gate))
    for running in [start() for _ in range(4)]:
        assert lines(running) == (NATIVE, "")
    assert len(list(home.parent.glob("begun.*"))) == 8
    only_library(home)


@pytest.mark.usefixtures("only_full")
def test_a_process_killed_while_it_compiles_leaves_room_for_the_next(home, compiler, monkeypatch):
    slow = script(home.parent / "slow", f"touch {home.parent}/begun; sleep 100")
    monkeypatch.setenv("CXX", str(slow))
    running = start(start_new_session=True)
    wait_for((home.parent / "begun").exists)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert not list((home / "kernels").iterdir())
    shutil.rmtree(home.parent / "tmp")  # as the system does with what the killed have left
    (home.parent / "tmp").mkdir()
    monkeypatch.setenv("CXX", str(compiler))
    assert lines(start()) == (NATIVE, "")
    only_library(home)


def test_importing_builds_nothing(home):
    assert lines(start("import zoo, zoo.ops, zoo.layers, zoo.models")) == ([], "")
    assert not home.exists()


# -------------------------------------------------------------------------------------- no compiler


def test_without_a_compiler_the_ops_work_and_one_warning_says_why(home, monkeypatch):
    monkeypatch.setenv("CXX", "/no/compiler")
    out, err = lines(start())
    why = "no C++ compiler (/no/compiler) in PATH; install one"
    assert out[:2] == RIGHT and out[2].startswith(f"torch reference ({why}")
    assert err.count("RuntimeWarning") == 1 and why in err and "ZOO_OPS=torch" in err
    assert not home.exists()


def test_a_machine_without_any_compiler_is_told_which_were_looked_for(home, monkeypatch):
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ZooError, match=r"no C\+\+ compiler \(c\+\+ or g\+\+\) in PATH"):
        build()
    assert not home.exists()


def test_native_kernels_that_are_demanded_and_missing_are_one_error_each_time(home, monkeypatch):
    monkeypatch.setenv("CXX", "/no/compiler")
    monkeypatch.setenv("ZOO_OPS", "native")
    tries = """
import torch
from zoo.errors import ZooError
from zoo.ops import linf_dist, native
for _ in range(2):
    try:
        linf_dist(torch.ones(1, 2), torch.ones(1, 2))
    except ZooError as error:
        print(type(error).__name__, error)
print(native.describe())
"""
    out, err = lines(start(tries))
    assert err == "" and len(out) == 3 and out[0] == out[1]
    assert out[0].startswith("ZooError ZOO_OPS=native, but there are no native kernels: no C++ com")
    assert out[2].startswith("none (no C++ compiler (/no/compiler)")


def test_the_reference_that_is_asked_for_builds_nothing_and_warns_of_nothing(home, monkeypatch):
    monkeypatch.setenv("ZOO_OPS", "torch")
    monkeypatch.setenv("ZOO_ISA", "nonsense")  # of no interest to it
    assert lines(start()) == ([*RIGHT, "torch reference (ZOO_OPS=torch)"], "")
    assert not home.exists()


@pytest.mark.parametrize("name", ["ZOO_OPS", "ZOO_ISA"])
def test_a_setting_that_is_none_is_refused_with_those_that_are(home, name, monkeypatch):
    monkeypatch.setenv(name, "nonsense")
    monkeypatch.setattr(native._KERNELS["cpu"], "loaded", None)
    monkeypatch.setattr(native._KERNELS["cpu"], "missing", None)
    for ask in native.load, native.describe, native.load:
        with pytest.raises(UsageError, match=rf"{name} must be .*, got 'nonsense'"):
            ask()
    assert not home.exists()


# ----------------------------------------------------------------------- failures and damaged files


@pytest.mark.parametrize("step", ["kernels.cpp", "cpu.cpp", "-shared"])
def test_what_a_failing_compiler_says_is_shown(home, compiler, step, monkeypatch):
    fails = script(
        home.parent / "fails",
        f'case "$*" in *{step}*) real --no-such-option; echo enough; exit 3; esac\n{compiler} "$@"',
    )
    monkeypatch.setenv("CXX", str(fails))
    with pytest.raises(ZooError, match=r"fails ended with 3\n(.*\n)*.*no-such-option(.*\n)*enough"):
        build()
    assert not list((home / "kernels").iterdir()) and not list((home.parent / "tmp").iterdir())


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(home):
    home.write_text("a file")
    with pytest.raises(ZooError, match=r"cannot write .*home/kernels.*Not a directory"):
        build()


DAMAGES = {
    "emptied": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "cut by a byte": lambda content: content[:-1],
    "changed": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "another file": lambda content: b"no library",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_library_is_built_again(home, damage, monkeypatch):
    content = build().read_bytes()
    only_library(home).write_bytes(damage(content))
    assert build().read_bytes() == content
    only_library(home).write_bytes(damage(content))
    monkeypatch.setenv("CXX", "/no/compiler")
    with pytest.raises(ZooError, match="no C\\+\\+ compiler"):
        build()


def test_a_library_cut_short_is_not_loaded_but_built_again(home):
    path = build()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert lines(start()) == (NATIVE, "")
    assert only_library(home).read_bytes() == whole


def test_a_library_that_is_there_needs_no_compiler(home, monkeypatch):
    built = build()
    written = built.stat().st_mtime_ns
    monkeypatch.setenv("CXX", "/no/compiler")
    assert build() == built and built.stat().st_mtime_ns == written


# -------------------------------------------------------------------------- lesser instruction sets


@pytest.mark.usefixtures("only_full")
@pytest.mark.parametrize("isa", ["avx2", "portable"])
def test_kernels_for_lesser_instruction_sets_keep_the_promises(isa, home, monkeypatch):
    monkeypatch.setenv("ZOO_ISA", "")
    if isa not in {"avx512": ("avx2", "portable"), "avx2": ("portable",)}.get(
        instruction_set(), ()
    ):
        pytest.skip(f"{instruction_set()} is what the other tests run on")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x"]
    command += [f"tests/test_{of}.py" for of in ("native_ops", "native_errors", "line_ops")]
    changes = {"ZOO_ISA": isa, "ZOO_OPS": "native", "CXX": shlex.join(REAL)}
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout and only_library(home).name.startswith(f"cpu-{isa}-")
