"""Postgres: one database, any number of processes of the bot.

Transactions that write come one after the other, as on SQLite, by an advisory lock that is taken first:
the history is one chain, so they would have to queue for its end anyway, and nothing that one of them
has read can change under it. Time is the database's: machines need not agree.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from bot.errors import StorageError
from bot.store.prepared import OUR_CURSOR, Prepared

LOCKS = 0x0C5150
"""The first half of all our advisory locks; a database of its own has no others."""
WRITING, MIGRATING, DELIVERING = 1, 2, 3
"""The second half. Beside these, each worker holds `PRESENCE` and its own number."""
PRESENCE = LOCKS + 1
NEWS = "countersign"
"""The channel on which writers tell of new work."""

CONNECTION: dict[str, Any] = {
    "client_encoding": "utf8",
    "connect_timeout": 5,
    # A server that vanished without a word is noticed within seconds, in either direction.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_LOCK = Prepared(select(func.pg_advisory_xact_lock(LOCKS, WRITING), func.clock_timestamp()))
_NOW = Prepared(select(func.clock_timestamp()))
_LIMITS = (
    "-c lock_timeout=400 "
    # A process that was stopped in the middle of a transaction must not hold up all others for ever.
    "-c idle_in_transaction_session_timeout=10000"
)
_PASSING = ("40001", "40P01", "55P03", "57P01", "57P02", "57P03", "25P03", "53300", "26000", "0A000")
"""Serialization, deadlock, lock and idle time-outs, a server that stops or starts, too many connections, and
prepared statements that it was told to forget or whose tables were changed."""


class Postgres:
    """See `bot.store.database.Database`."""

    is_shared = True

    def __init__(self, url: str) -> None:
        self.writer = _open(url, "READ COMMITTED")
        self.reader = _open(url, "REPEATABLE READ", connections=2)

    def begin(self, connection: Connection) -> datetime:
        """The time is read when the lock is held, so that the history is in the order of its times."""
        (_, now) = _LOCK.ask(connection, {}).first()
        return cast("datetime", now).astimezone(UTC)

    def check(self, _connection: Connection) -> None:
        """A connection always leads to where it led."""
        return

    def time(self, connection: Connection) -> datetime:
        return cast("datetime", _NOW.ask(connection, {}).scalar()).astimezone(UTC)

    def tell(self, connection: Connection, words: str) -> None:
        connection.exec_driver_sql(f"NOTIFY {NEWS}, '{words}'")

    def may_pass(self, problem: DBAPIError) -> bool:
        lost = problem.connection_invalidated or isinstance(problem, OperationalError)
        return lost or getattr(problem.orig, "sqlstate", None) in _PASSING

    def tidy(self) -> bool:
        """What was wiped may stay in dead rows and in the server's log until it recycles them; see
        SECURITY.md."""
        return True


def engine_for_migrations(url: str) -> Engine:
    engine = _open(url, "READ COMMITTED")
    begin = engine.dialect.do_begin

    def begin_alone(connection: Any) -> None:
        """By the driver's cursor, which can be interrupted: it waits for others for as long as it takes."""
        begin(connection)
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET LOCAL lock_timeout = 0")
            cursor.execute(f"SELECT pg_advisory_xact_lock({LOCKS}, {MIGRATING})")

    engine.dialect.do_begin = begin_alone  # type: ignore[method-assign,assignment]
    return engine


def arguments(url: str) -> dict[str, Any]:
    """What the driver is called with. Spaces, for example, mean something else in libpq's own URLs."""
    given = make_url(url)
    (_, read) = given.get_dialect()().create_connect_args(given)
    return dict(read)


def options(url: str, ours: str) -> str:
    """The server's settings for a connection: those in the URL, and ours on top."""
    given = make_url(url).query.get("options", "")
    return " ".join(filter(None, [*([given] if isinstance(given, str) else given), ours]))


def _open(url: str, isolation: str, connections: int = 1) -> Engine:
    """Connections that are durable, and transactions that see of others what `isolation` lets them see."""
    # Not where there is SQLite: the driver is a tenth of the memory and a twentieth of the start.
    from psycopg import RawCursor, RawServerCursor

    from bot.store import libpq

    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        paramstyle="numeric_dollar",  # as the server has it, and `RawCursor`
        connect_args={
            **CONNECTION,
            "options": options(url, _LIMITS),
            "application_name": "countersign",
            "cursor_factory": RawCursor,
            "prepare_threshold": None,  # after a rollback it has the server forget all that was prepared
        },
    )

    @event.listens_for(engine, "connect")
    def insist(connection: Any, record: Any) -> None:
        with ExitStack() as unless_it_fits:
            unless_it_fits.callback(connection.close)  # SQLAlchemy would only forget it
            with connection.cursor() as cursor:
                _insist_on_durability(cursor)
                cursor.execute("SET datestyle = ISO")  # the driver reads no other
            connection.commit()
            connection.server_cursor_factory = RawServerCursor
            record.info[OUR_CURSOR] = libpq.Cursor(connection)
            unless_it_fits.pop_all()

    def begin_transaction(connection: Any) -> None:
        libpq.begin(connection.driver_connection, f"BEGIN ISOLATION LEVEL {isolation}".encode())

    def commit(connection: Any) -> None:
        libpq.commit(connection.driver_connection)

    engine.dialect.do_begin = begin_transaction  # type: ignore[method-assign,assignment]
    engine.dialect.do_commit = commit  # type: ignore[method-assign,assignment]
    return engine


def _insist_on_durability(cursor: Any) -> None:
    names = ("fsync", "synchronous_commit", "server_encoding")
    cursor.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}")
    fsync, commit, encoding = cursor.fetchone()
    if fsync != "on":
        raise StorageError("The database cannot be used durably: its setting fsync is off.")
    if encoding != "UTF8":
        raise StorageError(f"The database cannot keep every text: its encoding is {encoding} and not UTF8.")
    if commit in {"off", "local"}:
        cursor.execute("SET synchronous_commit = on")
