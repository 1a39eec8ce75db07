"""Rows that the bot's own code wrote once, as a mould from which SQLite casts a million of their kind.

A mark such as «id» stands in them wherever one request differs from the next.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlmodel import SQLModel

from bot.store import chain
from bot.store.database import engine_for_migrations
from bot.store.tables import EventRow

MARK = re.compile("«([a-z_]+)»")

LINK = "INSERT INTO event (seq, request_id, at, kind, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)"

Texts = Mapping[str, str]
"""What one request has in place of each mark."""
Rows = dict[type[SQLModel], list[dict[str, Any]]]
Stored = list[dict[str, Any]]
"""Rows of one table as they lie on the disk."""


@dataclass(frozen=True, slots=True)
class Mould:
    events: Sequence[Mapping[str, str]]
    """The history, with `%(id)s` for «id»."""
    statements: Sequence[str]
    """What inserts the rest, with `:id` for «id»."""

    @classmethod
    def of(cls, url: str, rows: Rows, marks: Mapping[str, str]) -> Mould:
        """Of rows with marks; `marks` are more of them, by the text that they stand for once the row is
        stored. The database, whose tables are empty, is left as it is."""
        stored = {
            table: [{name: _marked(value, marks) for name, value in row.items()} for row in found]
            for table, found in _as_stored(url, rows).items()
        }
        events = [{name: _format(text) for name, text in row.items()} for row in stored.pop(EventRow)]
        return cls(events, [_insert(table, found) for table, found in stored.items()])

    def cast(self, database: sqlite3.Connection, some: Sequence[Texts], head: chain.Head) -> chain.Head:
        """Insert everything of these requests; returns the link that the last of their events made."""
        links = list(self._links(some, head))
        database.execute("BEGIN")
        database.executemany(LINK, links)
        for statement in self.statements:
            database.executemany(statement, some)
        database.execute("COMMIT")
        return chain.Head(links[-1][0], links[-1][-1])

    def _links(self, some: Iterable[Texts], head: chain.Head) -> Iterator[tuple[Any, ...]]:
        seq, previous = head.seq, head.hash
        for texts in some:
            owner = texts["id"]
            for event in self.events:
                seq, kind = seq + 1, event["kind"]
                at, body = event["at"] % texts, event["body"] % texts
                digest = chain.seal(seq, owner, chain.time(at), kind, body, previous)
                yield seq, owner, at, kind, body, previous, digest
                previous = digest


def _as_stored(url: str, rows: Rows) -> dict[type[SQLModel], Stored]:
    """The rows as the bot's tables spell them."""
    stored: dict[type[SQLModel], Stored] = {}
    engine = engine_for_migrations(url)
    with engine.connect() as connection:
        for table, values in rows.items():
            connection.execute(insert(table), values)
            query = f"SELECT {', '.join(values[0])} FROM {table.__tablename__}"  # noqa: S608
            stored[table] = [dict(row) for row in connection.exec_driver_sql(query).mappings()]
        connection.rollback()
    engine.dispose()
    return stored


def _marked(value: Any, marks: Mapping[str, str]) -> Any:
    for text, mark in marks.items():
        value = value.replace(text, mark) if isinstance(value, str) else value
    return value


def _format(value: Any) -> str:
    return MARK.sub(r"%(\1)s", str(value).replace("%", "%%"))


def _insert(table: type[SQLModel], rows: Stored) -> str:
    each = ", ".join(f"({', '.join(map(_expression, row.values()))})" for row in rows)
    return f"INSERT INTO {table.__tablename__} ({', '.join(rows[0])}) VALUES {each}"  # noqa: S608


def _expression(value: Any) -> str:
    """The value in SQL."""
    if not isinstance(value, str):
        return "NULL" if value is None else str(int(value))
    # Texts and names of marks take turns.
    parts = enumerate(MARK.split(value))
    quoted = [
        f":{part}" if turn % 2 else "'{}'".format(part.replace("'", "''")) for turn, part in parts if part
    ]
    return " || ".join(quoted) or "''"
