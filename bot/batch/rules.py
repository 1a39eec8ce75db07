"""Several orders in one request: what people see and decide together. Pure.

Each line is an ordinary request with its own look-up, permit and outcome, judged by the rules in
`bot/rules.py` and by nothing else. A batch only says which requests were asked for together; what has
become of it is in its lines.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bot.commands import Approve, Command, Deny, Escalate, Expire, Question, TakeBack, Withdraw
from bot.errors import Refused
from bot.events import Event
from bot.model import BEFORE_PERMIT, OPEN, Person, Request, State, Verdict, canonical, digest
from bot.rules import QUESTIONS_AT_MOST, decide

LINES_AT_MOST = 200
"""Orders in one batch: as many as two people can be asked to look through."""

LEFT_TO_PEOPLE = frozenset({State.NEEDS_PERSON, State.CLOSED})
"""What becomes of these lines is said on a card of their own."""

Change = tuple[Request, list[Event]]
"""A line as it was, and what happens to it."""

Counts = Mapping[State, int]
Judged = Callable[[Request], Verdict]
"""Whether somebody may decide on a line: not each has called further people."""


@dataclass(frozen=True, slots=True)
class BatchRequested:
    """Somebody asked for several orders at once. The lines follow it, each with its own history."""

    team: str
    channel: str
    provider: str
    account: str
    requester: Person
    reason: str
    quorum: int
    approvers: tuple[str, ...]
    expires_at: datetime
    lines: tuple[str, ...]
    account_name: str = ""
    escalation: tuple[str, ...] = ()
    escalate_at: datetime | None = None
    kind: Literal["batch_requested"] = "batch_requested"


@dataclass(frozen=True, slots=True)
class BatchDecided:
    """Somebody decided on all lines that were open for it. What that did to each is in its own history."""

    by: Person
    action: str
    digest: str
    """`batch_digest` of the card that was clicked; empty where the action is not bound to it."""
    lines: int
    """How many lines it changed."""
    kind: Literal["batch_decided"] = "batch_decided"


@dataclass(frozen=True, slots=True)
class BatchQuestioned:
    by: Person
    question: str
    kind: Literal["batch_questioned"] = "batch_questioned"


@dataclass(frozen=True, slots=True)
class BatchAttemptRefused:
    by: Person
    action: str
    rule: str
    kind: Literal["batch_attempt_refused"] = "batch_attempt_refused"


BatchEvent = BatchRequested | BatchDecided | BatchQuestioned | BatchAttemptRefused


@dataclass(frozen=True, slots=True)
class Batch:
    """What was asked for together. It never changes."""

    id: str
    created_at: datetime
    asked: BatchRequested

    @property
    def short_id(self) -> str:
        return self.id[:8]

    @property
    def channel(self) -> str:
        return self.asked.channel

    @property
    def requester(self) -> Person:
        return self.asked.requester


def batch_digest(batch: Batch, lines: Sequence[Request]) -> str:
    """What an approval of a batch is bound to: the whole list as it was asked for, and every line on it as
    it was shown, also those that nobody has to decide on any more."""
    asked = batch.asked
    return hashlib.sha256(
        canonical(
            {
                "schema": 1,
                "operation": "cancel several",
                "batch": batch.id,
                "team": asked.team,
                "channel": asked.channel,
                "provider": asked.provider,
                "account": [asked.account_name, asked.account],
                "requester": str(asked.requester),
                "reason": asked.reason,
                "quorum": asked.quorum,
                "approvers": asked.approvers,
                "created": batch.created_at.isoformat(),
                "expires": asked.expires_at.isoformat(),
                "lines": [digest(line) for line in lines],
            }
        )
    ).hexdigest()


# --- where it stands --------------------------------------------------------------------------------


def waiting(lines: Iterable[Request]) -> list[Request]:
    """The lines that people can approve now."""
    return [
        line for line in lines if line.state is State.PENDING or (line.state is State.APPROVED and line.held)
    ]


def stoppable(lines: Iterable[Request]) -> list[Request]:
    """The lines of which nothing has been sent yet."""
    return [line for line in lines if line.state in BEFORE_PERMIT]


def is_checking(counts: Counts) -> bool:
    return bool(counts.get(State.CHECKING))


def is_done(counts: Counts) -> bool:
    """Whether nothing happens by itself any more; a line that needs a person has a card of its own."""
    return not any(counts.get(state) for state in OPEN - LEFT_TO_PEOPLE)


# --- deciding ---------------------------------------------------------------------------------------


def approve(
    batch: Batch,
    lines: Sequence[Request],
    by: Person,
    card: str,
    clicked: str,
    verdict: Judged,
    now: datetime,
) -> list[Change]:
    """Approve every line that can be. `card`: the `batch_digest` that was clicked. Raises `Refused`."""
    whole = batch_digest(batch, lines)
    if any(line.state is State.CHECKING for line in lines):
        raise Refused("not_looked_up", "The orders are still being looked up. The card will ask you then.")

    def command(line: Request) -> Command:
        return Approve(by, digest(line), verdict(line), clicked, whole)

    changes = _all(waiting(lines) or lines, command, now)
    if changes and card != whole:
        raise Refused(
            "old_card", "This card is out of date: an order on it changed. Look at the new one, then decide."
        )
    return changes


def take_back(lines: Sequence[Request], by: Person, clicked: str, now: datetime) -> list[Change]:
    """Take the approval of every line back that has not been sent."""
    mine = [line for line in lines if line.state in BEFORE_PERMIT and line.approval_of(by)]
    before = [line for line in lines if line.taken_back_by(by)]
    return _all(mine or before or lines[:1], lambda _: TakeBack(by, clicked), now)


def deny(lines: Sequence[Request], by: Person, reason: str, verdict: Judged, now: datetime) -> list[Change]:
    """End every line that has not been sent."""
    return _all(stoppable(lines) or lines, lambda line: Deny(by, reason, verdict(line)), now)


def question(
    lines: Sequence[Request],
    by: Person,
    text: str,
    verdict: Judged,
    asked: Sequence[BatchQuestioned],
    now: datetime,
) -> list[BatchQuestioned]:
    """Ask the requester something about them; nothing when that was asked before. Raises `Refused` for
    whoever could not ask about one of them. `asked`: the questions so far."""
    _all(stoppable(lines) or lines, lambda line: Question(by, text, verdict(line)), now)
    if any((one.by, one.question) == (by, text) for one in asked):
        return []
    if len(asked) >= QUESTIONS_AT_MOST:
        raise Refused("too_many", "There are enough questions already. Go on in the thread of the card.")
    return [BatchQuestioned(by, text)]


def withdraw(lines: Sequence[Request], by: Person, now: datetime) -> list[Change]:
    return _all(stoppable(lines) or lines, lambda _: Withdraw(by), now)


def expire(lines: Sequence[Request], now: datetime) -> list[Change]:
    return _all(lines, lambda _: Expire(), now)


def escalate(lines: Sequence[Request], now: datetime) -> list[Change]:
    return _all(lines, lambda _: Escalate(), now)


def _all(lines: Sequence[Request], command: Callable[[Request], Command], now: datetime) -> list[Change]:
    """What happens to each line by its own rules. Raises the first refusal if nothing happens to any, nor
    has happened already."""
    changes: list[Change] = []
    is_done_already = False
    refused: Refused | None = None
    for line in lines:
        try:
            events = decide(line, command(line), now)
        except Refused as problem:
            refused = refused or problem
            continue
        if events:
            changes.append((line, events))
        else:
            is_done_already = True
    if refused and not changes and not is_done_already:
        raise refused
    return changes


# --- what was typed ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Typed:
    """One line of a pasted list."""

    number: int
    """As an editor counts them."""
    reference: str
    reason: str
    """Of its own; empty where the reason of all counts."""


def read_lines(text: str) -> list[Typed]:
    """One order a line, each `reference` or `reference,reason` as in a CSV file. Empty lines and a header
    are left out. Anything else is for whoever checks it."""
    found: list[Typed] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True), [])]
        reference, reason = cells[0] if cells else "", ", ".join(filter(None, cells[1:]))
        if not found and reference.lower() in {"reference", "order", "id"}:
            continue
        found.append(Typed(number, reference, reason))
    return found


def write_line(reference: str, reason: str = "") -> str:
    """One line of a list, such that `read_lines` finds the same in it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(filter(None, [reference, " ".join(reason.split())]))
    return text.getvalue()


def split_lines(lines: Sequence[str], room: int) -> tuple[str, str]:
    """Lines in two texts, the first of which is as full as it may be; what fits in neither is left out."""
    texts: list[list[str]] = [[], []]
    full = 0
    for line in lines:
        while full < 2 and sum(map(len, texts[full])) + len(texts[full]) + len(line) > room:
            full += 1
        if full < 2:
            texts[full].append(line)
    return "\n".join(texts[0]), "\n".join(texts[1])
