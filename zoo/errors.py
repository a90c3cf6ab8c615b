"""Errors a user can meet: each says what, why and what to do, and carries an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MAX_SHOWN = 200  # characters of a name in a message


class ZooError(Exception):
    """A failure of the run itself, for example training that diverged (exit code 1)."""

    exit_code = 1


class UsageError(ZooError, ValueError):
    """A bad argument, recipe or input tensor (exit code 2)."""

    exit_code = 2


class NotFoundError(ZooError):
    """A model, recipe, dataset or file that is not there (exit code 3)."""

    exit_code = 3


class IntegrityError(ZooError):
    """A file whose bytes, tensors or values are not what was published (exit code 4)."""

    exit_code = 4


class ClaimError(ZooError):
    """A published claim that was not met when checked again (exit code 5)."""

    exit_code = 5


class FalsifiedError(ZooError):
    """An attack succeeded on a certified point: a soundness bug (exit code 6)."""

    exit_code = 6


class Interrupted(ZooError):
    """A run that a signal stopped, after it saved where it was (exit code 128 + the signal)."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


def unknown(
    kind: str, name: str, known: Iterable[str], *, see: str, error: type[ZooError] = NotFoundError
) -> ZooError:
    """Error for a name that is not among the known ones, with the closest of them suggested.

    >>> print(unknown("bound", "lipshitz", ["interval", "lipschitz"], see="zoo certify --help"))
    unknown bound 'lipshitz'
      did you mean: lipschitz
      see all:      zoo certify --help
    """
    name = name if len(name) <= _MAX_SHOWN else f"{name[: _MAX_SHOWN - 3]}..."
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    lines = [f"unknown {kind} {name!r}"]
    if close:
        lines.append(f"  did you mean: {', '.join(close)}")
    lines.append(f"  see all:      {see}")
    return error("\n".join(lines))
