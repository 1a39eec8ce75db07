"""What was signed once counts once, whatever happens in between: a restart, another process.

Whoever has seen the signed bytes of a request can send them again for as long as a signature counts. Most
of what people do is the same when it is done twice. What is not asks, in its own transaction, whether it
was heard before (`Unit.first_time`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from bot.errors import HeardBefore
from bot.store import Unit

_mark: ContextVar[str] = ContextVar("mark", default="")


@contextmanager
def hearing(signature: str) -> Iterator[None]:
    """Within this block something is done that came in under this signature."""
    token = _mark.set(hashlib.sha256(signature.encode()).hexdigest()[:32])
    try:
        yield
    finally:
        _mark.reset(token)


def mark() -> str:
    """Stands for what came in; empty where it cannot come a second time."""
    return _mark.get()


def must_be_first(unit: Unit, mark: str, by: str) -> None:
    """Raise `HeardBefore` if it was heard before, by anybody but `by`: see `Unit.first_time`."""
    if not unit.first_time(mark, by):
        raise HeardBefore
