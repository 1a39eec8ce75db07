"""The fence: after its time no byte of a cancel leaves, however long the process was stopped, and nobody
waits for an answer any more.

Whoever takes over from a process that fell silent waits until a call of that process must have ended.
That only holds if a process that was stopped in the middle, and goes on an hour later, sends nothing
any more. `bot/worker.py` sets the fence, `providers/http.py` looks at it right before the first byte and
ends the call by then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def elapsed() -> float:
    """Seconds that passed, those of a suspended machine included. No step of the clock changes it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


_closes_at: ContextVar[float] = ContextVar("closes_at", default=float("inf"))


@contextmanager
def closing_at(at: float) -> Iterator[None]:
    """Within this block, nothing may be sent at or after `at`, in seconds of `elapsed`."""
    token = _closes_at.set(at)
    try:
        yield
    finally:
        _closes_at.reset(token)


def left() -> float:
    """Seconds until it is too late to send; infinite where there is no fence."""
    return _closes_at.get() - elapsed()


def is_closed() -> bool:
    """Whether it is too late to send."""
    return left() <= 0
