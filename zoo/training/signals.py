"""SIGINT and SIGTERM as a request: finish the step, save, then exit."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from zoo.training.processes import is_main_process

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"stopping after this step; a second signal stops at once, unsaved\n"
# A launcher passes on the signal that a shell or a scheduler already sent to every process.
_ECHO_SECONDS = 2.0


class StopRequest:
    """Inside its ``with`` block the first signal is noted; the second ends the process at once.

    Attributes:
        signal_number: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._at = 0.0
        self._before: dict[int, Any] = {}
        self._launched = "TORCHELASTIC_RUN_ID" in os.environ

    def __enter__(self) -> StopRequest:
        # Elsewhere Python allows no handlers: such a program has to stop its threads itself.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number, self._at = number, time.monotonic()
            # Not print: the signal may have come in the middle of another one.
            if is_main_process():
                with suppress(OSError):  # no one may be listening any more
                    os.write(2, _NOTICE)
            if not self._launched:
                self._give_up_handling()
        elif time.monotonic() - self._at > _ECHO_SECONDS:
            self._give_up_handling()
            os.kill(os.getpid(), number)

    def _give_up_handling(self) -> None:
        """From here on the system ends the process, even in the middle of a long operation."""
        for number, before in self._before.items():
            # In a notebook the second interrupt must end the cell, not the kernel.
            interactive = before is signal.default_int_handler
            signal.signal(number, before if interactive else signal.SIG_DFL)
