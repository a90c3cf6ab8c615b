"""zoo build: the native kernels, compiled before something waits for them."""

from __future__ import annotations

from zoo.cli.options import Debug, Json, Quiet, Verbose


def build(
    json: Json = False, quiet: Quiet = False, verbose: Verbose = False, debug: Debug = False
) -> None:
    """Compile the CPU kernels of the ops, or find them, and say where they are."""
    import time

    from zoo.cli.show import print_fields, print_json
    from zoo.ops.build import build as compile_
    from zoo.ops.build import instruction_set

    start = time.monotonic()
    path = compile_()
    seconds = round(time.monotonic() - start, 2)
    fields = {"library": str(path), "instruction set": instruction_set(), "seconds": seconds}
    if json:
        print_json([fields])
    elif quiet:
        print(path)
    else:
        print_fields(fields)
