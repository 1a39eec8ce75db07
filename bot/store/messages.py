"""The Slack messages that are owed, where the cards are, and who looks at the App Home."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Executable, bindparam, func, insert, update
from sqlalchemy import select as sqlalchemy_select
from sqlmodel import col, select

from bot.model import Person
from bot.store.prepared import Prepared, Upsert
from bot.store.tables import CardRow, HomeRow, MessageRow
from bot.store.transaction import Transaction

ONE_BY_ONE = 10
"""Lanes that are looked into one by one. Beyond that it is quicker to look into all there are."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a card is in Slack."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class OwedMessage:
    """A message that Slack has not taken yet."""

    id: int
    lane: str
    kind: str
    request_id: str | None
    target: str
    body: str
    due: datetime
    created_at: datetime
    tries: int
    problem: str
    """Why Slack did not take it the last time."""
    card_channel: str | None
    card_ts: str | None
    is_last: bool
    """Nothing was owed behind it in its lane."""

    @property
    def mark(self) -> str:
        return mark(self.id, self.created_at)

    @property
    def card(self) -> Place | None:
        """That of the request which it is about."""
        return Place(self.card_channel, self.card_ts) if self.card_channel and self.card_ts else None


def mark(message_id: int, created_at: datetime) -> str:
    """What a message carries in its metadata: the same at each try, and not that of a message in another
    database."""
    return f"{message_id}-{created_at.timestamp():.6f}"


_OWED = (
    MessageRow.id,
    MessageRow.lane,
    MessageRow.kind,
    MessageRow.request_id,
    MessageRow.target,
    MessageRow.body,
    MessageRow.due,
    MessageRow.created_at,
    MessageRow.tries,
    MessageRow.problem,
)
_UNDELIVERED = ~col(MessageRow.delivered)
_IN_LANE = col(MessageRow.lane) == bindparam("where")
_THIS = col(MessageRow.id) == bindparam("message")
_UP_TO_THIS = col(MessageRow.id) <= bindparam("message")
_IS_CARD = col(MessageRow.kind) == "card"


def _first_owed(*where: ColumnElement[bool]) -> Executable:
    """The first of each lane, with the card it belongs to, and whether it is the last as well."""
    ends = select(func.min(MessageRow.id).label("first"), func.max(MessageRow.id).label("last"))
    ends_of_lane = ends.where(_UNDELIVERED, *where).group_by(col(MessageRow.lane)).subquery()
    mine = (*map(col, _OWED), col(CardRow.channel), col(CardRow.ts), ends_of_lane.c.last == MessageRow.id)
    return (
        sqlalchemy_select(*mine)
        .join(ends_of_lane, ends_of_lane.c.first == MessageRow.id)
        .outerjoin(CardRow, col(CardRow.request_id) == MessageRow.request_id)
        .order_by(col(MessageRow.id))
    )


_OWE = Prepared(insert(MessageRow))
_WHAT = ("lane", "kind", "request_id", "target", "body")
_FIRST_OWED = Prepared(_first_owed())
_FIRST_OWED_IN = Prepared(_first_owed(_IN_LANE))
_DELIVERED = Prepared(update(MessageRow).where(_THIS).values(delivered=True, problem=""))
_COVERED = Prepared(
    update(MessageRow).where(_IN_LANE, _IS_CARD, _UNDELIVERED, _UP_TO_THIS).values(delivered=True)
)
_PAINTED = Prepared(update(MessageRow).where(_IN_LANE, _UNDELIVERED, _UP_TO_THIS).values(delivered=True))
_LAST_OF = select(func.max(MessageRow.id)).where(_IN_LANE, _UNDELIVERED)
_LAST = Prepared(_LAST_OF)
_LAST_CARD = Prepared(_LAST_OF.where(_IS_CARD))
_POSTPONE = Prepared(
    update(MessageRow)
    .where(_THIS)
    .values(due=bindparam("again"), tries=MessageRow.tries + 1, problem=bindparam("why"))
)
_CARD = Prepared(select(CardRow.channel, CardRow.ts).where(col(CardRow.request_id) == bindparam("request")))
_SET_CARD = Prepared(Upsert(CardRow, key=("request_id",), changes=("channel", "ts")))
_OPEN_HOME = Prepared(Upsert(HomeRow, key=("person",), changes=("opened_at",)))
_WATCHERS = Prepared(
    select(HomeRow.person)
    .where(col(HomeRow.opened_at) >= bindparam("since"))
    .order_by(col(HomeRow.opened_at).desc())
    .limit(bindparam("most"))
)


class OwedMessages(Transaction):
    def owe(self, lane: str, kind: str, *, request_id: str | None, target: str, body: str = "") -> None:
        self.owe_all([(lane, kind, request_id, target, body)])

    def owe_all(self, messages: Iterable[tuple[str, str, str | None, str, str]]) -> None:
        """`owe` for many: lane, kind, request, target and body of each, in their order."""
        at_once = {"due": self.now, "created_at": self.now, "delivered": False, "tries": 0, "problem": ""}
        new = list(messages)
        self._change_all(_OWE, [dict(zip(_WHAT, message, strict=True)) | at_once for message in new])
        self._owed_in.update(lane for lane, *_ in new)

    def hurry(self, lanes: Iterable[str]) -> None:
        """Somebody waits for what this transaction owes in these lanes."""
        self._awaited_in.update(lanes)

    def owed(self) -> list[OwedMessage]:
        """The first undelivered message of each lane, the oldest first."""
        return self._owed(_FIRST_OWED)

    def owed_in(self, lanes: Collection[str]) -> list[OwedMessage]:
        """The same of these lanes only, in no order."""
        if len(lanes) > ONE_BY_ONE:
            return [message for message in self.owed() if message.lane in lanes]
        return [message for lane in lanes for message in self._owed(_FIRST_OWED_IN, where=lane)]

    def _owed(self, query: Prepared, **values: Any) -> list[OwedMessage]:
        return [OwedMessage(*row) for row in self._ask(query, **values)]

    def delivered(self, message_id: int) -> None:
        self._change(_DELIVERED, message=message_id)

    def covered(self, request_id: str, last_id: int) -> None:
        """A card rendered now shows everything up to `last_id`: older paintings are not owed any more."""
        self._change(_COVERED, where=request_id, message=last_id)

    def last_owed_card(self, request_id: str) -> int:
        return self._ask(_LAST_CARD, where=request_id).scalar() or 0

    def postpone(self, message_id: int, due: datetime, problem: str) -> None:
        self._change(_POSTPONE, message=message_id, again=due, why=problem)

    def painted(self, lane: str, last_id: int) -> None:
        """An App Home painted now shows everything up to `last_id`."""
        self._change(_PAINTED, where=lane, message=last_id)

    def last_owed_in(self, lane: str) -> int:
        return self._ask(_LAST, where=lane).scalar() or 0

    def home_opened(self, person: str) -> None:
        self._change(_OPEN_HOME, person=person, opened_at=self.now)
        self._known.watchers.clear()

    def home_watchers(self, since: datetime, limit: int) -> Sequence[Person]:
        """Who opened their App Home since then, the latest first."""
        known = self._known.watchers
        if (since, limit) not in known:
            people = self._ask(_WATCHERS, since=since, most=limit).scalars()
            known[since, limit] = [Person(*person.split("/", 1)) for person in people]
        return known[since, limit]

    def card(self, request_id: str) -> Place | None:
        row = self._ask(_CARD, request=request_id).first()
        return None if row is None else Place(*row)

    def set_card(self, request_id: str, channel: str, ts: str) -> None:
        self._change(_SET_CARD, request_id=request_id, channel=channel, ts=ts)
