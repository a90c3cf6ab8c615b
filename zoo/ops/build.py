"""Compiling the native kernels, once for each machine and version of their sources."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from zoo.errors import UsageError, ZooError
from zoo.storage.atomic import make_folder, write_bytes

SOURCES = Path(__file__).resolve().parent / "csrc"
_UNITS = ("kernels.cpp", "cpu.cpp")
# No -ffast-math, and no contraction of a * b + c: what is rounded is what the source says.
_FLAGS = (
    "-O3 -std=c++17 -fPIC -fvisibility=hidden -ffp-contract=off -fno-math-errno -w "
    # The oldest torch whose stable ABI has all that cpu.cpp uses: 2.10.
    "-DTORCH_TARGET_VERSION=0x020a000000000000"
).split()
_INSTRUCTIONS = {
    "avx512": "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma".split(),
    "avx2": "-mavx2 -mfma".split(),
    "portable": [],
}


def instruction_set() -> str:
    """The best set of vector instructions of this CPU that there are kernels for.

    ZOO_ISA asks for a lesser one.

    Raises:
        UsageError: ZOO_ISA names none, or one that this CPU lacks.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    best = {"AVX512": "avx512", "AVX2": "avx2"}.get(capability, "portable")
    able = list(_INSTRUCTIONS)[list(_INSTRUCTIONS).index(best) :]
    asked = os.environ.get("ZOO_ISA") or best
    if asked not in able:
        raise UsageError(f"ZOO_ISA must be one of {', '.join(able)} on this CPU, got {asked!r}")
    return asked


def library_path() -> Path:
    """Where the kernels for this machine lie once they are built, under ``$ZOO_HOME/kernels``."""
    home = Path(os.environ.get("ZOO_HOME") or "~/.cache/zoo").expanduser()
    digest = hashlib.sha256()
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    isa = instruction_set()
    digest.update(repr((_FLAGS, _INSTRUCTIONS[isa], sys.platform, platform.machine())).encode())
    return home / "kernels" / f"cpu-{isa}-{digest.hexdigest()[:16]}.so"


def build() -> Path:
    """Compile the kernels unless they lie in the cache. Processes may race, one may die any time.

    Each compiles in a folder of its own, and the result appears by one rename.

    Returns:
        The library, for torch.ops.load_library.

    Raises:
        ZooError: there is no C++ compiler, or it fails: the message ends with what it said.
    """
    path = library_path()
    if path.is_file():
        return path
    compiler = find_compiler()
    torch_folder = Path(torch.__file__).resolve().parent
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(prefix="zoo-build-") as folder:
        compile_ = [
            *compiler,
            *flags(),
            f"-isystem{torch_folder / 'include'}",
            "-c",
        ]
        objects = [f"{unit}.o" for unit in _UNITS]
        # Both at once: the kernels take seconds, and so do the headers of torch.
        running = [
            _start([*compile_, str(SOURCES / unit), "-o", output], folder)
            for unit, output in zip(_UNITS, objects, strict=True)
        ]
        for command, process in running:
            _finish(command, process)
        # By name: the library that the process has loaded, whichever torch that is.
        against = [f"-L{torch_folder / 'lib'}", "-ltorch_cpu"]
        _finish(*_start([*compiler, "-shared", *objects, *against, "-o", path.name], folder))
        write_bytes(path, (Path(folder) / path.name).read_bytes())
    return path


def flags() -> list[str]:
    """What the compiler is told for the kernels of this machine."""
    return [*_FLAGS, *_INSTRUCTIONS[instruction_set()]]


def find_compiler() -> list[str]:
    """The command of the C++ compiler: CXX, or the first there is.

    Raises:
        ZooError: there is none.
    """
    named = shlex.split(os.environ.get("CXX") or "")
    candidates = [named] if named else [["c++"], ["g++"], ["clang++"]]
    for command in candidates:
        if shutil.which(command[0]):
            return command
    names = " or ".join(command[0] for command in candidates)
    raise ZooError(f"no C++ compiler ({names}) in PATH; install one, or name it in CXX")


def _start(command: list[str], folder: str) -> tuple[list[str], subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return command, process


def _finish(command: list[str], process: subprocess.Popen[str]) -> None:
    output, _ = process.communicate()
    if process.returncode:
        raise ZooError(
            f"{shlex.join(command[:1])} ended with {process.returncode}\n{output[-2000:].strip()}"
        )
