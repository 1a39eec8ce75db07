"""What every part of a unit stands on: one connection, one time, and what others have to know afterwards.

Statements that are run again and again are `Prepared`, beside the class that runs them: building one costs
more than SQLite takes to carry it out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Executable

from bot.events import Event
from bot.model import Person
from bot.store.chain import Head
from bot.store.prepared import Prepared, Rows, Values
from bot.store.slots import NO_SLOTS, Claimed, Slots

WORK, MESSAGES = EVERYTHING = ("work", "messages")
"""What there may be news about."""


@dataclass(frozen=True, slots=True)
class News:
    """What a transaction left to be done after it."""

    due_in: timedelta | None
    """How soon the first of the work is due that somebody has to look for; None when there is none."""
    due_now: float
    """How much of it is due at once; infinite where nobody counted."""
    claimed: tuple[Claimed, ...]
    """What the worker of this process has taken, and is to begin."""
    owed_in: frozenset[str]
    """The lanes in which a message is owed that was not before."""
    awaited_in: frozenset[str]
    """Those of them in which somebody waits for it."""


@dataclass(slots=True)
class Known:
    """What was read in a transaction, and is so until the transaction itself changes it: all that is done
    together in one has this in common."""

    head: Head | None = None
    """Of the history."""
    watchers: dict[tuple[datetime, int], Sequence[Person]] = field(default_factory=dict)
    """Of the App Homes, by since when they were opened and how many were asked for."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Transaction:
    def __init__(
        self,
        connection: Connection,
        clock: Callable[[], datetime] = utc_now,
        slots: Slots = NO_SLOTS,
        known: Known | None = None,
    ) -> None:
        """`known`: of the transaction of which this is a part."""
        self._connection = connection
        self._clock = clock
        self._known = known or Known()
        self._now: datetime | None = None
        self.slots = slots
        """Of the worker in this process."""
        self.claimed: list[Claimed] = []
        """What was taken for it in this transaction."""
        self._due_in: timedelta | None = None
        self._due_now: float = 0
        self._at_once: list[tuple[str, str, str]] = []
        self._owed_in: set[str] = set()
        self._awaited_in: set[str] = set()
        self.saved: list[tuple[str | None, Event | str]] = []
        """What was added to the history: the events of requests, and the kinds of notes."""
        self.is_whole = False
        """All of it was done, and its commit may come."""
        self.wiped = False
        """A reference was deleted: its bytes must not stay in the write-ahead log."""

    @property
    def now(self) -> datetime:
        """One time for everything in the transaction. A database that has to be asked is asked when somebody
        wants to know."""
        if self._now is None:
            self._now = self._clock()
        return self._now

    @property
    def news(self) -> News | None:
        """For whoever does the work and delivers the messages; None when there is nothing new for them."""
        if self._due_in is None and not self._due_now and not self.claimed and not self._owed_in:
            return None
        due_in = timedelta(0) if self._due_now else self._due_in
        owed_in, awaited_in = frozenset(self._owed_in), frozenset(self._awaited_in)
        return News(due_in, self._due_now, tuple(self.claimed), owed_in, awaited_in)

    @property
    def doubtful_news(self) -> News | None:
        """The same of a transaction that nobody knows to be committed: what it claimed may be free."""
        if (news := self.news) is None or not self.claimed:
            return news
        return replace(news, due_in=timedelta(0), due_now=news.due_now + len(self.claimed), claimed=())

    def _ask(self, query: Prepared | Executable, **values: Any) -> Rows:
        if isinstance(query, Prepared):
            return query.ask(self._connection, values)
        return Rows(self._connection.execute(query, values).all())

    def _change(self, statement: Prepared | Executable, **values: Any) -> int:
        """Returns how many rows were changed."""
        if isinstance(statement, Prepared):
            return statement.change(self._connection, [values])
        return self._connection.execute(statement, values).rowcount

    def _change_all(self, statement: Prepared | Executable, rows: Sequence[Values]) -> int:
        """The same once for each of `rows`."""
        if not rows:
            return 0
        if isinstance(statement, Prepared):
            return statement.change(self._connection, rows)
        return self._connection.execute(statement, rows).rowcount
