"""What has to be done next: pure, decided in the transaction that makes it necessary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.events import Event, Requested
from bot.model import Request, State


class Kind(StrEnum):
    CHECK = "check"
    """Look the order up before anybody is asked."""
    VERIFY = "verify"
    """Find out whether those who clicked may approve."""
    CANCEL = "cancel"
    """Judge again, take a permit, send one cancel."""
    FOLLOW_UP = "follow_up"
    """Find out what became of a cancel."""
    REMIND = "remind"
    ESCALATE = "escalate"
    """Call further people, who may decide from then on."""
    WARN = "warn"
    """Say that it is about to expire."""
    EXPIRE = "expire"
    BATCH_REMIND = "batch_remind"
    BATCH_ESCALATE = "batch_escalate"
    BATCH_WARN = "batch_warn"
    BATCH_EXPIRE = "batch_expire"


@dataclass(frozen=True, slots=True)
class Timing:
    remind_after: timedelta
    """Zero: never."""
    reconcile_after: timedelta


@dataclass(frozen=True, slots=True)
class Due:
    kind: Kind
    at: datetime
    lane: str = ""


PEOPLE = "people"
"""The lane in which Slack is asked about them: when it hangs, what only needs a clock goes on."""
SHORTEST_WARNING = timedelta(minutes=5)
LONGEST_WARNING = timedelta(hours=2)
FIRST_FOLLOW_UP = timedelta(seconds=2)
REPEAT_AFTER = timedelta(seconds=5)
"""Before a cancel that provably did nothing is tried once more."""


def due(
    before: Request | None, after: Request, events: Sequence[Event], now: datetime, timing: Timing
) -> list[Due]:
    """The work that `events` make necessary."""
    work: list[Due] = []
    if any(isinstance(event, Requested) for event in events):
        work += [Due(Kind.CHECK, now, after.lane), Due(Kind.EXPIRE, after.expires_at)]
        if (warned_at := last_call(after)) > now:
            work.append(Due(Kind.WARN, warned_at))
    if any(not approval.verified for approval in after.approvals):
        work.append(Due(Kind.VERIFY, now, PEOPLE))
    if before is None or before.state is after.state:
        return work
    if after.state is State.PENDING and after.escalate_at and not after.escalated:
        work.append(Due(Kind.ESCALATE, max(after.escalate_at, now)))
    match after.state:
        case State.PENDING | State.NEEDS_PERSON if timing.remind_after:
            work.append(Due(Kind.REMIND, now + timing.remind_after))
        case State.APPROVED:
            work.append(Due(Kind.CANCEL, now + _pause_before(after), after.lane))
        case State.ACCEPTED | State.UNKNOWN:
            work.append(Due(Kind.FOLLOW_UP, _first_look(after, now, timing), after.lane))
        case _:
            pass
    return work


def last_call(request: Request) -> datetime:
    """When people are told that a request is about to expire: while there is time to do something, and
    not so early that it is forgotten again."""
    return last_call_of(request.created_at, request.expires_at)


def last_call_of(created_at: datetime, expires_at: datetime) -> datetime:
    """The same for anything that lives that long."""
    lives = expires_at - created_at
    return expires_at - min(max(lives / 6, SHORTEST_WARNING), LONGEST_WARNING)


def _pause_before(request: Request) -> timedelta:
    """Before the next attempt of a cancel: longer where the provider asked for that."""
    if not request.attempts:
        return timedelta(0)
    wanted = request.outcome.look_again if request.outcome else None
    return max(REPEAT_AFTER, wanted or REPEAT_AFTER)


def _first_look(request: Request, now: datetime, timing: Timing) -> datetime:
    """When a look-up may be believed: at once after a complete answer, else after a quarantine in
    which a call that we gave up may still be carried out. The worker holds to it by a clock that
    nobody can set."""
    outcome = request.outcome
    if outcome is None:
        return now + timing.reconcile_after
    wait = outcome.look_again
    if request.state is State.ACCEPTED:
        return now + (FIRST_FOLLOW_UP if wait is None else wait)
    if outcome.settled:
        return now + (timedelta(0) if wait is None else wait)
    return now + timing.reconcile_after


def next_look(runs: int, wanted: timedelta | None) -> timedelta:
    """How long to wait before look-up number `runs` + 1: what the provider's habits ask for, else
    2, 4, 8 … seconds up to five minutes."""
    return wanted if wanted else min(timedelta(seconds=2 ** min(runs, 9)), timedelta(minutes=5))
