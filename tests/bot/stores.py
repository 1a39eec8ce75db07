"""Real databases for tests, and a clock that stands still until it is told."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest

from bot.store import Store, Unit, prepared, schema
from bot.store.database import is_sqlite
from bot.store.sqlite import path_of
from tests.bot.builders import NOW

T = TypeVar("T")


def on_commit(store: Store, wake: Callable[[], None]) -> None:
    """From now on `wake` is called after each transaction that was written."""
    write = store.write

    async def and_wake(work: Callable[[Unit], T], *, even_late: bool = False) -> T:
        result = await write(work, even_late=even_late)
        wake()
        return result

    store.write = and_wake  # type: ignore[method-assign]


class Clock:
    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


@cache
def _migrated() -> bytes:
    """A database that was just migrated: the same for every test, so it is made once."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "bot.db")
        schema.upgrade(url_of(path))
        return path.read_bytes()


def new_database(path: Path) -> str:
    path.write_bytes(_migrated())
    os.chmod(path, 0o600)
    return url_of(path)


@contextmanager
def opened(where: Path | str, clock: Callable[[], datetime] | None) -> Iterator[Store]:
    """A store on the database at a URL, or in a file; a file is made if it is not there."""
    url = url_of(where) if isinstance(where, Path) else where
    if is_sqlite(url) and not path_of(url).exists():
        new_database(path_of(url))
    store = Store(url, clock)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def told_to_the_driver() -> Iterator[list[tuple[str, Sequence[Any]]]]:
    """What prepared statements say, one after the other: the words, and the values for each time."""
    told: list[tuple[str, Sequence[Any]]] = []
    carry_out = prepared.carry_out

    def noted(cursor: Any, words: str, spelled: Sequence[Any]) -> None:
        told.append((words, spelled))
        carry_out(cursor, words, spelled)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "carry_out", noted)
        yield told


@contextmanager
def sql(path: Path, *, begin: str = "") -> Iterator[sqlite3.Connection]:
    """A connection of somebody else to the same file, past all of the bot's code."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        if begin:
            connection.execute(begin)
        yield connection
        if connection.in_transaction:
            connection.rollback()
