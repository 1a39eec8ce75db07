"""A worker's standing connection to Postgres: how several processes on one database know of each other.

It hears when another process saved new work. It shows that this worker is alive: what a worker held
that is gone is free again within seconds instead of at the end of a lease. And it holds the right to
deliver to Slack, which only one process has at a time, because Slack counts messages per channel.

Nothing rests on it: a connection that breaks is made anew, and until then the database is read again
now and then, leases run out, and messages wait.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import psycopg
from psycopg import sql

from bot.errors import StorageError
from bot.logs import get_logger
from bot.store.postgres import CONNECTION, DELIVERING, LOCKS, NEWS, PRESENCE, arguments, options
from bot.store.store import Store
from bot.store.transaction import EVERYTHING
from bot.store.work import NAME_LENGTH
from providers import fence

log = get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at who is alive."""
COUNTS_FOR = 3.0
"""Seconds for which a look counts: whoever takes the right to deliver over from here may need no more."""
SILENCE = 10.0
"""Seconds without a look after which the server hangs up: a worker that was stopped, or whose machine is
gone without a word, must not keep its claims and the right to deliver."""
GONE_AFTER = 3
"""Looks in a row at which a worker is missing until what it held is taken over. A worker whose
connection broke comes back before; should it be slower, the permit still keeps it from sending twice."""


class Presence:
    """One for each worker process. `run` it in a loop that is started again when it fails."""

    def __init__(self, url: str, store: Store, wake: Callable[[Collection[str]], None]) -> None:
        """`wake` is called with what there may be news about."""
        number = secrets.randbits(31)
        self.name = f"{number:0{NAME_LENGTH}x}"
        """What the tokens of this worker begin with."""
        self._number = number
        self._url = url
        self._store = store
        self._wake = wake
        self._missing: dict[str, int] = {}
        self._may_deliver = asyncio.Event()
        self._tenures = 0
        self._looked_at = -inf
        self._alive_before: frozenset[str] = frozenset()
        self._lost = asyncio.Event()

    def tenure(self) -> int:
        """A number for each time this process got the right to deliver; 0 while it has none, or has not
        looked for so long that it may have lost it: a process that was stopped goes on before it learns that
        its connection is gone."""
        is_known = fence.elapsed() - self._looked_at < COUNTS_FOR
        return self._tenures if self._may_deliver.is_set() and is_known else 0

    async def run(self) -> None:
        """Stay connected. Raises `StorageError` when the connection is lost."""
        try:
            async with self._connected() as connection:
                self._wake(EVERYTHING)  # whatever was told in the meantime was not heard
                while True:
                    await self._look_around(connection)
                    async for told in connection.notifies(timeout=LOOK_EVERY):
                        self._hear(told.payload)
        except psycopg.Error as problem:
            raise StorageError(
                f"The connection to the database was lost ({type(problem).__name__})."
            ) from None
        finally:
            self._may_deliver.clear()
            self._lost.set()

    def _hear(self, words: str) -> None:
        """Whoever tells says who it is, and of what there is news."""
        teller, *about = words.split() or [""]
        if teller != self._store.teller:
            self._wake(about or EVERYTHING)

    async def while_delivering(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` whenever, and only as long as, this process is the one that delivers."""
        while True:
            await self._may_deliver.wait()
            doing = asyncio.ensure_future(work())
            ending = asyncio.ensure_future(self._lost.wait())
            try:
                await asyncio.wait({doing, ending}, return_when=asyncio.FIRST_COMPLETED)
                if doing.done():
                    doing.result()
            finally:
                doing.cancel()
                ending.cancel()
                await asyncio.gather(doing, ending, return_exceptions=True)

    @asynccontextmanager
    async def _connected(self) -> Any:
        given = arguments(self._url) | CONNECTION
        given["application_name"] = f"countersign worker {self.name}"
        given["options"] = options(self._url, f"-c idle_session_timeout={int(SILENCE * 1000)}")
        connection = await psycopg.AsyncConnection.connect(autocommit=True, **given)
        async with connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(NEWS)))
            await connection.execute("SELECT pg_advisory_lock(%s, %s)", (PRESENCE, self._number))
            yield connection

    async def _look_around(self, connection: psycopg.AsyncConnection[Any]) -> None:
        if not self._may_deliver.is_set():
            lock = "SELECT pg_try_advisory_lock(%s, %s)"
            (mine,) = await _one(connection, lock, (LOCKS, DELIVERING))
            if mine:
                self._lost.clear()
                self._tenures += 1
                self._may_deliver.set()
        alive = await self._alive(connection)
        self._looked_at = fence.elapsed()
        if self._alive_before - alive:
            self._wake(EVERYTHING)  # whoever is gone may have kept news for itself
        self._alive_before = alive
        try:
            await self._let_go_of_the_dead(alive)
        except StorageError as busy:
            # Somebody may hold up all writers for a while. That is no reason to give up this connection.
            log.warning("dead_workers_not_let_go", why=busy.advice)

    async def _alive(self, connection: psycopg.AsyncConnection[Any]) -> frozenset[str]:
        here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        query = f"SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND {here}"  # noqa: S608
        cursor = await connection.execute(query.encode(), (PRESENCE,))
        return frozenset(f"{number:0{NAME_LENGTH}x}" for (number,) in await cursor.fetchall())

    async def _let_go_of_the_dead(self, alive: frozenset[str]) -> None:
        holders = await self._store.read(lambda unit: unit.holders())
        self._missing = {name: self._missing.get(name, 0) + 1 for name in holders - alive}
        for name, looks in self._missing.items():
            if looks >= GONE_AFTER:
                await self._store.write(lambda unit, name=name: unit.free_actions_of(name))  # type: ignore[misc]


async def _one(connection: psycopg.AsyncConnection[Any], query: str, values: tuple[int, ...]) -> Any:
    cursor = await connection.execute(query.encode(), values)
    return await cursor.fetchone()
