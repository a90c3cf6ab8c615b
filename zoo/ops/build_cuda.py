"""Compiling the CUDA kernels, once for each kind of GPU and version of their sources."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import torch

from zoo.errors import UsageError, ZooError
from zoo.ops.build import SOURCES, cached, check, end, place, start

_UNIT = SOURCES / "cuda" / "cuda.cu"
# No --use_fast_math, and no contraction of a * b + c: what is rounded is what the source says.
_FLAGS = (
    "-O3 -std=c++17 --fmad=false --expt-relaxed-constexpr -Xcompiler -fPIC,-fvisibility=hidden -w "
    "-DUSE_CUDA -DTORCH_TARGET_VERSION=0x020a000000000000"
).split()


def architecture() -> str:
    """What is compiled for: "9.0", say, the GPU's or what ZOO_CUDA_ARCH asks for.

    Raises:
        UsageError: ZOO_CUDA_ARCH is no such number.
        ZooError: there is no GPU to ask.
    """
    asked = os.environ.get("ZOO_CUDA_ARCH")
    if asked:
        if not re.fullmatch(r"[1-9][0-9]?\.[0-9]", asked) or float(asked) < 8:
            raise UsageError(f"ZOO_CUDA_ARCH must be 8.0, 9.0 or the like, got {asked!r}")
        return asked
    if not torch.cuda.is_available():
        raise ZooError("no CUDA GPU to compile for; ZOO_CUDA_ARCH=9.0 names one that is elsewhere")
    major, minor = torch.cuda.get_device_capability()
    return f"{major}.{minor}"


def library_path() -> Path:
    """Where the kernels for that GPU lie once they are built, under ``$ZOO_HOME/kernels``."""
    sources = [*SOURCES.glob("*.h"), *(SOURCES / "cuda").iterdir()]
    return place(f"cuda-{architecture()}", sources, _FLAGS, torch.version.cuda)


def build() -> Path:
    """Compile the kernels unless they lie in the cache; see zoo.ops.build.build.

    Raises:
        UsageError: see architecture.
        ZooError: there is no nvcc, it is of another CUDA than torch, or it fails; see architecture.
    """
    return cached(library_path(), find_compiler, _compile)


def find_compiler() -> list[str]:
    """The command of nvcc: NVCC, the one in CUDA_HOME, or the one in PATH.

    Raises:
        ZooError: there is none, or torch was built for another major version of CUDA.
    """
    if torch.version.cuda is None:
        raise ZooError("this torch was built without CUDA")
    named = shlex.split(os.environ.get("NVCC") or "")
    home = os.environ.get("CUDA_HOME")
    command = named or ([str(Path(home) / "bin" / "nvcc")] if home else ["nvcc"])
    if shutil.which(command[0]) is None:
        raise ZooError(
            f"no CUDA compiler ({command[0]}); install one of CUDA {torch.version.cuda}, "
            "or name it in NVCC or CUDA_HOME"
        )
    said = end(start([*command, "--version"], Path.cwd()))
    check(said)
    found = re.search(r"release (\d+)\.(\d+)", said.stdout)
    # A minor version is as good as any other: the runtime is linked into the library.
    if found is None or found[1] != torch.version.cuda.partition(".")[0]:
        release = f"{found[1]}.{found[2]}" if found else "of no known version"
        raise ZooError(
            f"{command[0]} is of CUDA {release}, torch of CUDA {torch.version.cuda}: "
            "the major versions must agree"
        )
    return command


def _compile(compiler: list[str], folder: Path) -> bytes:
    """The library's content: code for that GPU, and PTX that later ones can translate."""
    number = architecture().replace(".", "")
    code = f"-gencode=arch=compute_{number},code=[sm_{number},compute_{number}]"
    torch_folder = Path(torch.__file__).resolve().parent
    include = f"-isystem={torch_folder / 'include'}"
    against = [f"-L{torch_folder / 'lib'}", "-ltorch_cpu", "-ltorch_cuda"]
    command = [*compiler, *_FLAGS, code, include, str(_UNIT), "-shared", *against]
    check(end(start([*command, "-o", "kernels.so"], folder)))
    return (folder / "kernels.so").read_bytes()
