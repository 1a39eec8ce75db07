"""Until when something is worth beginning. Whoever was told that it failed must not find it done later: a
vote that waited behind others, for a database that was busy, would be counted after all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from time import monotonic

from bot.errors import StorageError

_until: ContextVar[float] = ContextVar("until", default=inf)

TOO_LATE = "The database was busy for too long, and nothing was done. Try again in a moment."
PERHAPS = (
    "The database did not answer in time. It is not known whether this was done: look before you try again."
)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is written within this block is begun so many seconds from now at the latest, or not at all."""
    token = _until.set(monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def deadline() -> float:
    """Of this block, by `monotonic`; infinite outside of any."""
    return _until.get()


def must_not_have_passed(until: float, was_begun: bool = False) -> None:
    """Raises `StorageError`. `was_begun`: before that, and it is not known whether it was committed."""
    if monotonic() >= until:
        raise StorageError(PERHAPS if was_begun else TOO_LATE)
