"""Until when something is worth writing. Whoever was told that it failed must not find it done later: a vote
that waited behind others, for a database that was busy, would be counted after all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from time import monotonic

from bot.errors import StorageError

_until: ContextVar[float] = ContextVar("until", default=inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is written within this block is begun so many seconds from now at the latest, or not at all."""
    token = _until.set(monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def deadline() -> float:
    """By `monotonic`; infinite where nobody waits."""
    return _until.get()


def must_not_have_passed(until: float) -> None:
    """Raises `StorageError`."""
    if monotonic() >= until:
        raise StorageError("The database was busy for too long. Try again in a moment.")
