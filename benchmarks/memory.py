"""How much memory a call of an op takes at its peak, in a process of its own."""

from __future__ import annotations

import ctypes
import multiprocessing
import re
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from contestants import Operands, Row

from zoo.errors import ZooError

Size = tuple[int, int, int]

_WARM_UP = (32, 32, 32)  # starts the threads, which have stacks


def peaks(rows: list[Row], size: Size, threads: int) -> list[float | None]:
    """MiB that each row's native op adds to the resident set at most, its results included.

    None where the system does not say. To be called before torch has started a thread.
    """
    # The first call of an op imports for seconds. It is made here, on one thread, as the processes
    # are forked: they would miss the threads of this one.
    torch.set_num_threads(1)
    Operands(*_WARM_UP).ours(rows[0])()
    context = multiprocessing.get_context("fork")
    found = []
    for row in rows:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_send_peak, args=(sender, row, size, threads))
        process.start()
        sender.close()
        try:
            found.append(receiver.recv())
        except EOFError:
            raise ZooError(f"{row}: measuring its memory failed, see above") from None
        process.join()
    return found


def _send_peak(sender: Connection, row: Row, size: Size, threads: int) -> None:
    sender.send(_peak(row, size, threads))


def _peak(row: Row, size: Size, threads: int) -> float | None:
    torch.set_num_threads(threads)
    Operands(*_WARM_UP).ours(row)()
    call = Operands(*size).ours(row)
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not serve the call
        Path("/proc/self/clear_refs").write_text("5")  # the mark falls to what is resident now
        before = status("VmRSS")
        result = call()
        peak = status("VmHWM") - before
    except (OSError, AttributeError):
        return None
    del result
    return peak / 1024


def status(field: str) -> int:
    """A line of /proc/self/status, in KiB."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(found[1]) if found else 0
