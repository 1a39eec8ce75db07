"""Transactions on one database: one thread that writes and two that read, one of them what takes long.
Durable before it returns."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from math import inf
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from bot.errors import Conflict, StorageError
from bot.events import AttemptRefused, Event, Permitted
from bot.logs import get_logger
from bot.model import Person
from bot.store.database import open_database, said
from bot.store.deadline import deadline
from bot.store.slots import Slots
from bot.store.together import Piece, Together
from bot.store.transaction import MESSAGES, WORK, Known, News, utc_now
from bot.store.unit import Unit

log = get_logger(__name__)

T = TypeVar("T")
TRIES = 5


class Store:
    """The only way to the database. Times are UTC: the database's own where several machines share it,
    unless a `clock` is given."""

    def __init__(self, url: str, clock: Callable[[], datetime] | None = None) -> None:
        self._clock = clock
        self.teller = secrets.token_hex(8)
        """By which a process knows what it told others itself."""
        self.slots = Slots()
        """Of the worker in this process."""
        self.delivers: Callable[[], bool] = lambda: False
        """Whether it delivers what is owed. The thread that writes asks."""
        self._database = open_database(url)
        self._writer, self._reader = _Kept(self._database.writer), _Kept(self._database.reader)
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._long_thread = ThreadPoolExecutor(1, thread_name_prefix="store-read-long")
        self._writing = Together(self._write_thread, self._write_all, self._write_one, self._tidy, self._tell)
        self._reading = Together(self._read_thread, self._read_all, self._read_one)
        self._is_untidy = False
        self._is_refused = False
        """The last transaction that should have been written could not be."""
        self._after_news: list[Callable[[News], None]] = []

    @property
    def is_shared(self) -> bool:
        """Whether other processes may be at work on the same database."""
        return self._database.is_shared

    def on_news(self, tell: Callable[[News], None]) -> None:
        """Call `tell` in the event loop after each transaction that made work due or owes a message, with
        what that is: most only note that something is done. It is told whether or not anybody waits for the
        transaction still, and in nobody's context."""
        self._after_news.append(tell)

    async def write(self, work: Callable[[Unit], T], *, even_late: bool = False) -> T:
        """Run `work` in a transaction and return when it is durable.

        Raises whatever `work` raised, with nothing written, or `StorageError` when the database
        cannot be written. Others may be in the same transaction. `work` may run more than once: because
        another one failed, because the database was busy, or after it was committed if the connection
        broke just then. So it must not act outside of the unit, and doing it twice must be as good as
        once. When whoever awaits this is cancelled it may be done or not. Within a `deadline` it is not
        begun after that, however long others took before it, unless it is of use `even_late`.
        """
        piece = Piece(work, inf if even_late else deadline())
        try:
            result = await self._writing.run(piece)
        except StorageError:
            self._is_refused = True
            raise
        self._is_refused = False
        for request_id, event in piece.units[-1].saved:
            _log(request_id, event)
        return result

    async def read(self, work: Callable[[Unit], T]) -> T:
        """Run `work` on one consistent snapshot, which has all that was committed before."""
        return await self._reading.run(Piece(work))

    async def read_long(self, work: Callable[[Unit], T]) -> T:
        """`read` for what takes longer than people should wait: it holds up no other reading."""

        piece = Piece(work)

        def once() -> None:
            with self._database.reader.connect() as connection, connection.begin():
                self._read_on(connection, [piece])

        await asyncio.get_running_loop().run_in_executor(self._long_thread, self._try, once)
        return piece.result

    async def check(self) -> str:
        """What is wrong with the database, or an empty string. Writes only to see whether what failed
        last works again."""
        try:
            await self.read(lambda unit: unit.head())
        except StorageError:
            return "the database cannot be read"
        try:
            if self._is_refused:
                await self.write(lambda unit: unit.rewrite())
        except StorageError:
            return "the database cannot be written"
        return ""

    def write_now(self, work: Callable[[Unit], T]) -> T:
        """`write` for programs without an event loop and a worker: the command line."""
        piece = Piece(work)
        self._write_one(piece)
        return piece.result

    def read_now(self, work: Callable[[Unit], T]) -> T:
        piece = Piece(work)
        self._read_one(piece)
        return piece.result

    def close(self) -> None:
        self._write_thread.shutdown(wait=True)
        self._read_thread.shutdown(wait=True)
        self._long_thread.shutdown(wait=True)
        self._writer.close()
        self._reader.close()
        self._database.writer.dispose()
        self._database.reader.dispose()

    def _write_one(self, piece: Piece[Any]) -> None:
        def once() -> None:
            piece.must_be_in_time()  # before it waits for the database; it looks again after that
            self._write_all([piece])

        self._try(once)

    def _read_one(self, piece: Piece[Any]) -> None:
        self._try(lambda: self._read_all([piece]))

    def _try(self, once: Callable[[], None]) -> None:
        for last in (*[False] * (TRIES - 1), True):
            try:
                return once()
            except Conflict:
                if last:
                    raise StorageError("The request kept changing. Nothing was done; try again.") from None
            except IntegrityError as problem:
                raise _without_values(problem) from None
            except DBAPIError as problem:
                if last or not self._database.may_pass(problem):
                    raise StorageError(_plain(problem)) from None
        raise AssertionError("unreachable")

    def _write_all(self, pieces: Iterable[Piece[Any]]) -> None:
        units: list[Unit] = []
        known = Known()
        try:
            with self._writer.transaction() as connection:
                now = self._time(self._database.begin(connection))
                for piece in pieces:
                    units.append(Unit(connection, lambda: now, self.slots, known))
                    piece.run_in(units[-1]).claim_at_once()
                if about := self.to_tell(*(unit.news for unit in units)):
                    self._database.tell(connection, " ".join([self.teller, *about]))
        except BaseException:
            for unit in units:
                self.slots.let_go(unit.claimed)
            raise
        self._is_untidy = self._is_untidy or any(unit.wiped for unit in units)

    def _tell(self, piece: Piece[Any], is_done: bool) -> None:
        """A piece that ran twice may have been committed the first time, and so may one that failed at its
        end: what each run claimed or owed is announced as well. One that failed before may hold claims. At
        worst somebody looks in vain."""
        committed = piece.units[-1:] if is_done else []
        perhaps = [unit for unit in piece.units if unit.is_whole or unit.claimed]
        doubtful = piece.units[:-1] if is_done else perhaps
        told = [unit.doubtful_news for unit in doubtful] + [unit.news for unit in committed]
        for news in filter(None, told):
            for tell in self._after_news:
                tell(news)

    def to_tell(self, *news: News | None) -> list[str]:
        """What other processes have to know of a transaction: for what is taken here, each of them would look
        in vain."""
        there = [each for each in news if each is not None]
        is_left = any(each.due_now for each in there)
        is_due = any(each.due_in is not None for each in there)
        work = is_left or (is_due and not self.slots.are_free)
        messages = any(each.owed_in for each in there) and not self.delivers()
        return [WORK] * work + [MESSAGES] * messages

    def _read_all(self, pieces: Iterable[Piece[Any]]) -> None:
        with self._reader.transaction() as connection:
            self._read_on(connection, pieces)

    def _read_on(self, connection: Connection, pieces: Iterable[Piece[Any]]) -> None:
        self._database.check(connection)
        time = cache(lambda: self._time(self._database.time(connection)))
        known = Known()
        for piece in pieces:
            piece.run_in(Unit(connection, time, known=known))

    def _time(self, of_database: datetime | None) -> datetime:
        if self._clock is not None:
            return self._clock()
        return of_database or utc_now()

    def _tidy(self) -> None:
        """Behind the answers, and before the next is written."""
        if self._is_untidy:
            self._is_untidy = not self._database.tidy()


class _Kept:
    """A connection that stays open from one transaction to the next: to take one out of a pool and give it
    back costs as much as some statements."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._one_at_a_time = Lock()
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._one_at_a_time:
            if self._connection is None:
                self._connection = self._engine.connect()
            try:
                with self._connection.begin():
                    yield self._connection
            except DBAPIError:
                self._drop()  # it may be lost, or in a transaction still whose commit failed
                raise

    def close(self) -> None:
        with self._one_at_a_time:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _log(request_id: str | None, event: Event | str) -> None:
    """One line for each link of the history. Not what people wrote: that is in the history itself."""
    if isinstance(event, str):
        log.info("noted", kind=event)
        return
    who = getattr(event, "requester", None) or getattr(event, "by", None)
    person = {"person": who.user} if isinstance(who, Person) else {}
    rule = {"rule": event.rule} if isinstance(event, AttemptRefused) else {}
    attempt = {"attempt": event.attempt} if isinstance(event, Permitted) else {}
    log.info(event.kind, request=request_id, **person, **rule, **attempt)


def _plain(problem: DBAPIError) -> str:
    return f"The database could not be used: {said(problem).rstrip('.')}."


def _without_values(problem: IntegrityError) -> IntegrityError:
    """The same for a log: Postgres shows the row that was in the way."""
    return IntegrityError(problem.statement, None, Exception(said(problem)), hide_parameters=True)
