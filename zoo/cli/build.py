"""zoo build: the native kernels, compiled before something waits for them."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose


def build(
    cuda: Annotated[
        bool,
        typer.Option("--cuda", help="For the GPU, or for the one that ZOO_CUDA_ARCH says."),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Compile the kernels of the ops for the CPU, or find them, and say where they are."""
    import time

    from zoo.cli.show import print_fields, print_json
    from zoo.ops import build as cpu
    from zoo.ops import build_cuda

    start = time.monotonic()
    path = build_cuda.build() if cuda else cpu.build()
    seconds = round(time.monotonic() - start, 2)
    kind = build_cuda.architecture() if cuda else cpu.instruction_set()
    name = "compute capability" if cuda else "instruction set"
    fields = {"library": str(path), name: kind, "seconds": seconds}
    if json:
        print_json([fields])
    elif quiet:
        print(path)
    else:
        print_fields(fields)
