"""Compiling the CUDA kernels: for which GPU, by which compiler, and what is said if it cannot be.

That they compile is tested by `make kernels`, where there is an nvcc.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from zoo.errors import UsageError, ZooError
from zoo.ops import build, build_cuda, native


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    """An empty cache, and a torch of CUDA 13 on a machine with no GPU and no settings."""
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    for name in "ZOO_CUDA_ARCH", "NVCC", "CUDA_HOME":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path / "home"


def compiler(folder: Path, says: str, makes: str = "") -> str:
    """An nvcc that says its version and, asked for a library, writes a text."""
    file = folder / "nvcc"
    file.write_text(
        f'#!/bin/sh\ncase "$*" in *--version*) echo "{says}"; exit;; esac\n'
        f'for output; do :; done\nprintf "{makes}" > "$output"; echo "$*" > {folder}/asked\n'
    )
    file.chmod(0o755)
    return str(file)


RELEASE = "Cuda compilation tools, release 13.0, V13.0.88"


def test_it_compiles_for_the_gpu_that_is_there_or_is_named(home, monkeypatch):
    with pytest.raises(ZooError, match=r"no CUDA GPU to compile for; ZOO_CUDA_ARCH=9\.0 names"):
        build_cuda.architecture()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))
    assert build_cuda.architecture() == "8.9"
    monkeypatch.setenv("ZOO_CUDA_ARCH", "9.0")
    assert build_cuda.architecture() == "9.0"


@pytest.mark.parametrize("asked", ["sm_90", "9", "7.5", "9.0;10.0", "nonsense"])
def test_what_is_no_compute_capability_is_refused(home, monkeypatch, asked):
    monkeypatch.setenv("ZOO_CUDA_ARCH", asked)
    with pytest.raises(UsageError, match=f"must be 8.0, 9.0 or the like, got '{asked}'"):
        build_cuda.build()


def test_a_library_is_made_once_and_for_one_kind_of_gpu(home, monkeypatch, tmp_path):
    monkeypatch.setenv("NVCC", compiler(tmp_path, RELEASE, makes="code"))
    monkeypatch.setenv("ZOO_CUDA_ARCH", "8.0")
    path = build_cuda.build()
    assert path.read_bytes().startswith(b"code") and path.parent == home / "kernels"
    asked = (tmp_path / "asked").read_text()
    assert "-gencode=arch=compute_80,code=[sm_80,compute_80]" in asked
    assert "fast" not in asked and "--fmad=false" in asked
    (tmp_path / "nvcc").unlink()
    assert build_cuda.build() == path
    monkeypatch.setenv("ZOO_CUDA_ARCH", "9.0")
    assert build_cuda.library_path() != path != build.library_path()


def test_every_source_is_part_of_the_name(home, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CUDA_ARCH", "9.0")
    copy = Path(shutil.copytree(build.SOURCES, tmp_path / "csrc"))
    monkeypatch.setattr(build_cuda, "SOURCES", copy)
    seen = {build_cuda.library_path()}
    for file in sorted((copy / "cuda").iterdir()):
        file.write_text(file.read_text() + "\n")
        seen.add(build_cuda.library_path())
    assert len(seen) == 1 + len(list((copy / "cuda").iterdir()))


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("Cuda compilation tools, release 12.8, V12.8.1", "is of CUDA 12.8, torch of CUDA 13.2"),
        ("something else", "is of CUDA of no known version, torch of CUDA 13.2"),
    ],
)
def test_a_compiler_of_another_cuda_is_refused(home, monkeypatch, tmp_path, says, message):
    monkeypatch.setenv("NVCC", compiler(tmp_path, says))
    monkeypatch.setenv("ZOO_CUDA_ARCH", "9.0")
    with pytest.raises(ZooError, match=message):
        build_cuda.build()


def test_no_compiler_and_no_cuda_are_said(home, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CUDA_ARCH", "9.0")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "toolkit"))
    with pytest.raises(ZooError, match=r"no CUDA compiler \(.*toolkit/bin/nvcc\); install one of"):
        build_cuda.build()
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ZooError, match="this torch was built without CUDA"):
        build_cuda.build()


def test_untried_kernels_are_taken_by_those_who_ask_for_them(home, monkeypatch):
    """What is missing on one device says nothing of the other; one that is neither has none."""
    monkeypatch.setattr(native._KERNELS["cuda"], "loaded", None)
    monkeypatch.setattr(native._KERNELS["cuda"], "missing", None)
    monkeypatch.setenv("ZOO_OPS", "auto")
    assert not native.load("cuda") and not native.load("meta")
    assert native.describe("cuda").startswith("torch reference (no GPU has tried its kernels yet")
    assert not home.exists()
    monkeypatch.setattr(native._KERNELS["cuda"], "missing", None)
    monkeypatch.setenv("ZOO_OPS", "native")
    with pytest.raises(ZooError, match=r"ZOO_OPS=native, but there are no native .* no CUDA GPU"):
        native.load("cuda")


def test_the_kernels_compile(only_full, home, monkeypatch):
    if shutil.which("nvcc") is None:
        pytest.skip("no nvcc")
    for asked in "8.0", "9.0":
        monkeypatch.setenv("ZOO_CUDA_ARCH", asked)
        monkeypatch.setattr(torch.version, "cuda", build_cuda_version())
        torch.ops.load_library(str(build_cuda.build()))


def build_cuda_version() -> str:
    """That of the nvcc in PATH, so that it is taken whatever torch is of."""
    said = build.end(build.start(["nvcc", "--version"], Path.cwd())).stdout
    return said.partition("release ")[2].partition(",")[0]
