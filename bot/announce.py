"""Which Slack messages are owed for what happened, decided and written down in the same transaction.

A card is owed as "paint it again", and painted from the request as it is when Slack takes it. Replies
in its thread and direct messages are written down word for word.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from bot.blocks import notices, refusals
from bot.blocks.text import section
from bot.blocks.thread import thread_line
from bot.errors import CountersignError
from bot.events import AttemptRefused, Event, OrderRead
from bot.model import OUTCOMES, Person, Request, State
from bot.store import Unit
from providers.contract import Facts


class Kind(StrEnum):
    CARD = "card"
    REPLY = "reply"
    DIRECT = "direct"
    WHISPER = "whisper"
    HOME = "home"
    NOTICE = "notice"
    """To everybody in a channel, about no request."""


@dataclass(frozen=True, slots=True)
class Owed:
    lane: str
    """Messages of one lane are delivered in order; lanes do not wait for each other."""
    kind: Kind
    request_id: str | None
    target: str
    body: str = ""
    is_awaited: bool = False
    """Somebody looks at the place where it will appear."""


WATCHED_FOR = timedelta(days=2)
"""How long after it was opened an App Home is kept up to date."""
WATCHERS_AT_MOST = 30
"""App Homes that are painted after one change; the others are painted when they are opened."""


def owed(before: Request | None, after: Request, events: Sequence[Event], facts: Facts) -> list[Owed]:
    """Everything people are to be told about `events`, in order."""
    if all(isinstance(event, AttemptRefused) for event in events):
        return []
    messages = [Owed(after.id, Kind.CARD, after.id, after.channel)]
    if line := thread_line(events, after, facts, before=before):
        messages.append(_reply(after, line))
    if after.state is State.PENDING and any(isinstance(event, OrderRead) for event in events):
        messages.append(_reply(after, notices.card_call(after, facts)))
    if before is None or before.state is not after.state:
        messages += _direct(after, facts)
    return messages


def reminder(request: Request, facts: Facts) -> Owed:
    return _reply(request, notices.reminder(request, facts))


def last_call(request: Request, facts: Facts) -> Owed:
    return _reply(request, notices.last_call(request, facts))


def asked(request: Request, facts: Facts, origin: str) -> Owed:
    """The private answer to the requester: where it is being decided, and under which ID."""
    return whisper(origin, request.requester, notices.asked_notice(request, facts))


def refusal(channel: str, person: Person, problem: CountersignError, request: Request | None) -> Owed:
    """The private answer to a click that did not count."""
    if request is None:
        return whisper(channel, person, problem.advice)
    return whisper(channel, person, refusals.refusal(request, problem.rule, problem.advice, person))


def owe(unit: Unit, *messages: Owed) -> None:
    """Write down that people are to be told so, in this transaction."""
    unit.owe_all((one.lane, one.kind, one.request_id, one.target, one.body) for one in messages)
    unit.hurry(one.lane for one in messages if one.is_awaited)


def notice(channel: str, text: str) -> Owed:
    """Something that everybody in a channel has to know."""
    body = _body(text=text, blocks=[section(text, "line")])
    return Owed(f"channel:{channel}", Kind.NOTICE, None, channel, body)


def homes(unit: Unit) -> list[Owed]:
    """New App Homes for everybody who looked at theirs lately."""
    return [home(each) for each in unit.home_watchers(unit.now - WATCHED_FOR, WATCHERS_AT_MOST)]


def paint_homes(unit: Unit) -> None:
    """Owe them those."""
    owe(unit, *homes(unit))


def home(person: Person, is_awaited: bool = False) -> Owed:
    """Paint somebody's App Home again, from what is there when Slack takes it."""
    return Owed(f"home:{person.user}", Kind.HOME, None, person.user, _body(team=person.team), is_awaited)


def whisper(channel: str, person: Person, text: str) -> Owed:
    """Something only `person` sees, where they clicked or typed; in a direct message if that was nowhere."""
    if not channel:
        body = _body(text=text, blocks=[section(text, "line")])
        return Owed(f"direct:{person.user}", Kind.DIRECT, None, person.user, body, is_awaited=True)
    body = _body(user=person.user, text=text)
    return Owed(f"whisper:{person.user}", Kind.WHISPER, None, channel, body, is_awaited=True)


def _reply(request: Request, text: str) -> Owed:
    outcome = request.state.value if request.state in OUTCOMES else None
    body = _body(text=text, blocks=[section(text, "line")], outcome=outcome)
    return Owed(request.id, Kind.REPLY, request.id, request.channel, body)


def _direct(request: Request, facts: Facts) -> list[Owed]:
    message = notices.outcome_dm(request, facts)
    if message is None:
        return []
    lane = f"direct:{request.requester.user}"
    body = _body(text=message.text, blocks=message.blocks)
    return [Owed(lane, Kind.DIRECT, request.id, request.requester.user, body)]


def _body(**content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)
