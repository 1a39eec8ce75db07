"""Durable commits by hand: one table, one thread, the driver's own calls."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

BODY = "x" * 600
"""About as much as an event and its request take."""


class Ledger:
    """As durable as the bot's own database: SQLite in WAL mode with full sync, Postgres as it comes."""

    def __init__(self, url: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._mark = "?"
        self._connection: Any = None
        self._thread.submit(self._open, url).result()

    @classmethod
    def of_environment(cls) -> Ledger:
        return cls(os.environ["DATABASE_URL"])

    async def commit(self, times: int = 1) -> None:
        """Return when that many transactions, one after the other, are durable."""
        for _ in range(times):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit)

    def _open(self, url: str) -> None:
        if url.startswith("sqlite"):
            self._connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            for pragma in ("journal_mode = WAL", "synchronous = FULL"):
                self._connection.execute(f"PRAGMA {pragma}")
            number = "INTEGER PRIMARY KEY"
        else:
            self._connection = psycopg.connect(url, autocommit=True)
            self._mark, number = "%s", "SERIAL PRIMARY KEY"
        self._connection.execute(f"CREATE TABLE ledger (id {number}, body TEXT)")
        self._connection.execute("CREATE TABLE state (id INTEGER PRIMARY KEY, body TEXT)")
        self._connection.execute("INSERT INTO state VALUES (1, '')")

    def _commit(self) -> None:
        self._connection.execute("BEGIN")
        self._connection.execute(f"INSERT INTO ledger (body) VALUES ({self._mark})", (BODY,))  # noqa: S608
        self._connection.execute(f"UPDATE state SET body = {self._mark} WHERE id = 1", (BODY,))  # noqa: S608
        self._connection.execute("COMMIT")
