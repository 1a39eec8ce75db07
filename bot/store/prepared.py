"""Statements that are run again and again: SQLAlchemy writes each once, and the driver carries it out.

From a statement to its rows, SQLAlchemy takes ten times as long as SQLite takes to carry it out, and a
cancellation has more than a hundred statements. What is left to it is what it knows best: the words, how a
value is spelled for a column and read from it, connections, when a transaction begins and ends, and which
kind of error it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

OUR_CURSOR = "cursor"
"""Where the `info` of a connection has a cursor of ours to be used; others have the driver's own."""
Values = Mapping[str, Any]
Convert = Callable[[Any], Any]
"""One value, on its way to the driver or back."""


class Rows:
    """All rows that a statement returned."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Sequence[Sequence[Any]]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> Sequence[Any]:
        return self._rows

    def first(self) -> Any:
        """The first row; None when there is none."""
        return self._rows[0] if self._rows else None

    def scalar(self) -> Any:
        """The first column of the first row; None when there is none."""
        return self._rows[0][0] if self._rows else None

    def scalars(self) -> list[Any]:
        """The first column of each."""
        return [row[0] for row in self._rows]


@dataclass(frozen=True, slots=True)
class Upsert:
    """Insert a row, or change these columns of the one that has this key."""

    table: type[SQLModel]
    key: tuple[str, ...]
    changes: tuple[str, ...]

    def statement(self, dialect: Dialect) -> Executable:
        """Either database has words of its own, which are only imported for the one there is."""
        row = import_module(f"sqlalchemy.dialects.{dialect.name}").insert(self.table)
        new = {name: row.excluded[name] for name in self.changes}
        built: Executable = row.on_conflict_do_update(index_elements=self.key, set_=new)
        return built


class Prepared:
    """One statement. It must not take lists, as how many values are in one changes its words; and an insert
    gives all columns that have a default."""

    def __init__(self, statement: Executable | Upsert) -> None:
        self.statement = statement
        self._written: dict[tuple[str, ...], _Written] = {}

    def ask(self, connection: Connection, values: Values) -> Rows:
        """Run it and return all of its rows. Raises `DBAPIError` as SQLAlchemy does, and `TypeError` for
        other values than those that the statement has."""
        written = self._for(connection.dialect, values)
        with _cursor(connection, written.words) as cursor:
            carry_out(cursor, written.words, [written.spelled(values)])
            return Rows(written.read(cursor.fetchall()))

    def change(self, connection: Connection, rows: Sequence[Values]) -> int:
        """Run it once for each of `rows`, of which there is one at least, and return how many rows of the
        database were changed in all. Raises as `ask` does."""
        written = self._for(connection.dialect, rows[0])
        with _cursor(connection, written.words) as cursor:
            carry_out(cursor, written.words, [written.spelled(row) for row in rows])
            return int(cursor.rowcount)

    def _for(self, dialect: Dialect, values: Values) -> _Written:
        """An insert has the columns that are given, so their names are part of what it is known by."""
        key = (dialect.name, dialect.paramstyle, *values)
        if (known := self._written.get(key)) is None:
            statement: Any = self.statement
            if isinstance(statement, Upsert):
                statement = statement.statement(dialect)
            known = self._written[key] = _write(statement, dialect, tuple(values))
        return known


def carry_out(cursor: Any, words: str, spelled: Sequence[Any]) -> None:
    """All that the driver is told."""
    if len(spelled) == 1:
        cursor.execute(words, spelled[0])
    else:
        cursor.executemany(words, spelled)


@contextmanager
def _cursor(connection: Connection, words: str) -> Iterator[Any]:
    """The driver's errors are raised as SQLAlchemy raises them, and without the values. A connection that is
    lost is not used any more."""
    lent = connection.connection
    try:
        with closing(connection.info.get(OUR_CURSOR) or lent.cursor()) as cursor:
            yield cursor
    except connection.dialect.loaded_dbapi.Error as problem:
        is_lost = connection.dialect.is_disconnect(problem, lent, None)
        if is_lost:
            connection.invalidate(problem)
        raise DBAPIError.instance(
            words,
            None,
            problem,
            connection.dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=connection.dialect,
        ) from problem


@dataclass(frozen=True, slots=True)
class _Written:
    """A statement in the words of one database."""

    words: str
    given: dict[str, Convert | None]
    """The values that come each time, and how each is spelled."""
    fixed: dict[str, Any]
    """Those that are always the same, as they are spelled."""
    order: tuple[str, ...] | None
    """In which the driver wants them; None for one that goes by the names."""
    columns: tuple[Convert | None, ...]
    """How each column of what is returned is read."""

    def spelled(self, values: Values) -> Any:
        """For the driver. Raises `TypeError` for other values than those that the statement has."""
        if values.keys() != self.given.keys():
            raise TypeError(f"{', '.join(values)} instead of {', '.join(self.given)}")
        named = self.fixed | {
            name: values[name] if spell is None else spell(values[name]) for name, spell in self.given.items()
        }
        return named if self.order is None else tuple([named[name] for name in self.order])

    def read(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        if not any(self.columns):
            return rows
        return [self._read(row) for row in rows]

    def _read(self, row: Sequence[Any]) -> Sequence[Any]:
        each = zip(self.columns, row, strict=True)
        return tuple([value if read is None else read(value) for read, value in each])


def _write(statement: Any, dialect: Dialect, given: tuple[str, ...]) -> _Written:
    """Raises `TypeError` for a statement that cannot be prepared, or has other values than `given`."""
    columns = None
    if statement.is_insert:
        statement, columns = statement.inline(), given  # nobody wants to be told the new key
    compiled = statement.compile(dialect=dialect, column_keys=columns)
    if compiled.post_compile_params or compiled.insert_prefetch or compiled.update_prefetch:
        raise TypeError(
            "a list of values, or a column whose default SQLAlchemy would have to fill in each time"
        )
    if (needed := {name for name, bound in compiled.binds.items() if bound.required}) != set(given):
        raise TypeError(f"{', '.join(given)} instead of {', '.join(sorted(needed))}")
    spell = {
        name: bound.type.dialect_impl(dialect).bind_processor(dialect)
        for name, bound in compiled.binds.items()
    }
    return _Written(
        words=compiled.string,
        given={name: spell[name] for name in given},
        fixed={
            name: value if (convert := spell[name]) is None else convert(value)
            for name, value in compiled.params.items()
            if name not in given
        },
        order=tuple(compiled.positiontup) if dialect.positional else None,
        columns=tuple(
            column.type.dialect_impl(dialect).result_processor(dialect, None)
            for column in statement.exported_columns
        ),
    )
