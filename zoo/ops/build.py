"""Compiling the CPU's kernels, once for each machine and version of their sources."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from zoo.errors import UsageError, ZooError
from zoo.storage.atomic import make_folder, reporting, write_bytes

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
    isa = instruction_set()
    return place(f"cpu-{isa}", SOURCES.glob("*.*"), _FLAGS, _INSTRUCTIONS[isa])


def place(name: str, sources: Iterable[Path], *facts: object) -> Path:
    """The file of a library that is a function of these sources and facts."""
    home = Path(os.environ.get("ZOO_HOME") or "~/.cache/zoo").expanduser()
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    digest.update(repr((*facts, sys.platform, platform.machine())).encode())
    return home / "kernels" / f"{name}-{digest.hexdigest()[:16]}.so"


def build() -> Path:
    """Compile the kernels unless they lie in the cache. Processes may race, one may die any time.

    Each compiles in a folder of its own, and the result appears by one rename.

    Returns:
        The library, for torch.ops.load_library.

    Raises:
        ZooError: there is no C++ compiler, or it fails: the message ends with what it said. Or the
            folder cannot be written.
    """
    return cached(library_path(), find_compiler, _compile)


def cached(
    path: Path, find: Callable[[], list[str]], make: Callable[[list[str], Path], bytes]
) -> Path:
    """The library at that path, made there if it is not whole.

    Args:
        find: the compiler, looked for only where something is to be made.
        make: the library's content, of the compiler and a folder that it may fill.
    """
    if not _is_whole(path):
        compiler = find()
        with reporting(path):
            make_folder(path.parent)
            with tempfile.TemporaryDirectory(prefix="zoo-build-") as folder:
                library = make(compiler, Path(folder))
            write_bytes(path, library + hashlib.sha256(library).digest())
    return path


def _is_whole(path: Path) -> bool:
    """Whether the library is there, and ends with the digest of all before it.

    A loader reads no further than the sections it knows of; but those that a damaged file lacks, it
    may find out by a SIGBUS.
    """
    content = path.read_bytes() if path.is_file() else b""
    size = hashlib.sha256().digest_size
    return content[-size:] == hashlib.sha256(content[:-size]).digest()


def _compile(compiler: list[str], folder: Path) -> bytes:
    """The library's content; what it is made of stays in the folder."""
    torch_folder = Path(torch.__file__).resolve().parent
    compile_ = [*compiler, *flags(), f"-isystem{torch_folder / 'include'}", "-c"]
    objects = [f"{unit}.o" for unit in _UNITS]
    # Both at once: the kernels take seconds, and so do the headers of torch.
    running = [
        start([*compile_, str(SOURCES / unit), "-o", output], folder)
        for unit, output in zip(_UNITS, objects, strict=True)
    ]
    # Both to their end, before one's failure takes the folder from under the other.
    for ended in [end(process) for process in running]:
        check(ended)
    # By name: the library that the process has loaded, whichever torch that is.
    against = [f"-L{torch_folder / 'lib'}", "-ltorch_cpu"]
    check(end(start([*compiler, "-shared", *objects, *against, "-o", "kernels.so"], folder)))
    return (folder / "kernels.so").read_bytes()


def flags() -> list[str]:
    """What the compiler is told for the kernels of this machine."""
    return [*_FLAGS, *_INSTRUCTIONS[instruction_set()]]


def find_compiler() -> list[str]:
    """The command of the C++ compiler: CXX, or the first there is.

    Raises:
        ZooError: there is none.
    """
    named = shlex.split(os.environ.get("CXX") or "")
    candidates = [named] if named else [["c++"], ["g++"]]
    for command in candidates:
        if shutil.which(command[0]):
            return command
    names = " or ".join(command[0] for command in candidates)
    raise ZooError(f"no C++ compiler ({names}) in PATH; install one, or name it in CXX")


def start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def end(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    output, _ = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def check(ended: subprocess.CompletedProcess[str]) -> None:
    if ended.returncode:
        output = ended.stdout[-2000:].strip()
        raise ZooError(f"{ended.args[0]} ended with {ended.returncode}\n{output}")
