"""What the CPU's vector units can do at most, by roofline.cpp compiled as the kernels are."""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier

from zoo.ops.build import SOURCES, find_compiler, flags

PORTS = 2  # of the vectors in question: right for 512 bits on Intel, too few for 256 bits on many

_SOURCE = Path(__file__).resolve().parent / "roofline.cpp"
_KINDS = {"distance": 0, "bounds": 1, "forward": 2, "backward": 3}


class _Result(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_double) for name in ("pairs_per_second", "hertz", "cpu_share")),
        *((name, ctypes.c_int32) for name in ("lanes", "instructions", "mix")),
    ]


@dataclass
class Roof:
    """Measurements of one mix of instructions on all threads; the best counts, as for any bound."""

    name: str
    threads: int
    lanes: int
    instructions: int  # on the vector ports, for one vector of pairs; 0 where not known
    rates: list[float] = field(default_factory=list)  # pairs per second, all threads
    hertz: list[float] = field(default_factory=list)
    cpu_shares: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return max(self.rates)

    @property
    def clock(self) -> float:
        """A disturbance can only slow the chain of additions down."""
        return max(self.hertz)

    @property
    def bound(self) -> float | None:
        """lanes x ports x clock / instructions, all threads."""
        if not self.instructions or not self.clock:
            return None
        return self.threads * self.lanes * PORTS * self.clock / self.instructions


class Roofline:
    """The compiled microkernels, and all that they have measured."""

    def __init__(self, threads: int, seconds: float) -> None:
        self.threads, self.seconds = threads, seconds
        self.roofs: dict[str, Roof] = {}
        self._names: dict[tuple[str, float], str] = {}
        self._pool = ThreadPoolExecutor(threads)
        with tempfile.TemporaryDirectory(prefix="zoo-roofline-") as folder:
            library = Path(folder) / "roofline.so"
            command = [*find_compiler(), *flags(), f"-I{SOURCES}", "-shared", str(_SOURCE)]
            subprocess.run([*command, "-o", str(library)], check=True)
            self._library = ctypes.CDLL(str(library))
        self._library.roofline.argtypes = [
            ctypes.c_int32,
            ctypes.c_double,
            ctypes.c_double,
            ctypes.POINTER(_Result),
        ]
        self._library.roofline.restype = None

    def roof(self, kind: str, p: float) -> Roof:
        """All measurements of what the op needs of every pair."""
        return self.roofs[self._names[kind, p]]

    def measure(self, kind: str, p: float) -> None:
        """One more measurement of it."""
        time.sleep(0.005)  # torch's threads keep their cores busy for a while after an op
        start = Barrier(self.threads)

        def on_one_thread(_: int) -> _Result:
            result = _Result()
            start.wait()  # ctypes lets go of the interpreter: they run at the same time
            self._library.roofline(_KINDS[kind], p, self.seconds, ctypes.byref(result))
            return result

        results = list(self._pool.map(on_one_thread, range(self.threads)))
        first = results[0]
        name = self._names[kind, p] = _name(kind, p, first.mix)
        roof = self.roofs.setdefault(
            name, Roof(name, self.threads, first.lanes, first.instructions)
        )
        roof.rates.append(sum(result.pairs_per_second for result in results))
        roof.hertz.append(statistics.fmean(result.hertz for result in results))
        roof.cpu_shares.append(statistics.fmean(result.cpu_share for result in results))


def _name(kind: str, p: float, mix: int) -> str:
    maxima, ends, products, _real = range(4)
    if mix == maxima:
        return "sub, absmax"
    if mix == ends:
        return "2 sub, 2 max, 2 min"
    if mix == products:
        if kind == "forward":
            return f"sub, products of {p:g}, fma"
        return f"sub, mul, products of {p - 1:g}, 2 fma"
    return "sub, real power, add" if kind == "forward" else "sub, mul, real power, 2 fma"
