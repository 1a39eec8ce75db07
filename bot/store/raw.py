"""Columns of the history as the bytes they are, before any driver makes sense of them.

A row that was tampered with may hold what is no text and no time at all. Reading it must say so rather
than fail, and must not tidy up a spelling on the way.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import DateTime, LargeBinary
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import col
from sqlmodel.sql.sqltypes import UTCDateTime

from bot.store.tables import EventRow


class Raw(FunctionElement[bytes]):
    """`Raw(column)`: its bytes. A time is spelled `2026-11-21 17:00:00.000000`, in UTC."""

    inherit_cache = True
    type = LargeBinary()


@compiles(Raw, "sqlite")
def _on_sqlite(element: Raw, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    # The same bytes in a BLOB are no text: a query for that text would not find the row any more.
    return f"CASE typeof({column}) WHEN 'text' THEN CAST({column} AS BLOB) END"


@compiles(Raw, "postgresql")
def _on_postgres(element: Raw, compiler: SQLCompiler, **options: Any) -> str:
    column: ColumnElement[Any] = next(iter(element.clauses))
    text = compiler.process(column, **options)
    if isinstance(column.type, UTCDateTime | DateTime):
        text = f"to_char({text} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
    return f"convert_to({text}, 'UTF8')"


_AS_STORED = ("request_id", "at", "kind", "body", "previous", "hash")
COLUMNS = (col(EventRow.seq), *(Raw(getattr(EventRow, name)) for name in _AS_STORED))
"""A row of the history as `chain.follow` reads it."""
