"""The words: a request, its states, and the digests that people's approvals are bound to.

Everything here is a frozen record. Nothing here knows a clock, a database, Slack or a provider.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from providers.contract import OrderState, Outcome, Result


class State(StrEnum):
    CHECKING = "checking"
    PENDING = "pending"
    APPROVED = "approved"
    EXECUTING = "executing"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    NEEDS_PERSON = "needs_person"
    CANCELLED = "cancelled"
    ALREADY_CANCELLED = "already_cancelled"
    REFUSED = "refused"
    FAILED = "failed"
    NOT_CANCELLABLE = "not_cancellable"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CLOSED = "closed"
    """It needed a person, and two have said what became of the order."""


BEFORE_PERMIT = frozenset({State.CHECKING, State.PENDING, State.APPROVED})
"""Nothing has been sent yet: people may still stop it."""

OPEN = BEFORE_PERMIT | {State.EXECUTING, State.ACCEPTED, State.UNKNOWN, State.NEEDS_PERSON}
"""The order is spoken for: a second request for it is refused."""

ENDED = frozenset(State) - OPEN
"""Decided for good. `needs_person` is not among them: people still have to find out."""

OUTCOMES = ENDED | {State.NEEDS_PERSON}
"""What is told as an outcome, and carries the end of the history then."""

WORDS = {
    State.CHECKING: "checking",
    State.PENDING: "waiting for approval",
    State.APPROVED: "approved",
    State.EXECUTING: "executing",
    State.ACCEPTED: "accepted by the provider, not yet confirmed",
    State.UNKNOWN: "outcome unknown, checking",
    State.NEEDS_PERSON: "needs a person",
    State.CANCELLED: "cancelled",
    State.ALREADY_CANCELLED: "already cancelled",
    State.REFUSED: "refused by the provider",
    State.FAILED: "failed, nothing was cancelled",
    State.NOT_CANCELLABLE: "cannot be cancelled",
    State.DENIED: "denied",
    State.WITHDRAWN: "withdrawn",
    State.EXPIRED: "expired",
    State.CLOSED: "needs a person, closed",
}
"""What people read: the same on card, thread, command line and export."""

RESULT_STATE = {
    Result.CANCELLED: State.CANCELLED,
    Result.ALREADY_CANCELLED: State.ALREADY_CANCELLED,
    Result.ACCEPTED: State.ACCEPTED,
    Result.REFUSED: State.REFUSED,
    Result.UNKNOWN: State.UNKNOWN,
}
"""`NO_EFFECT` is not here: what follows from it depends on how often it was tried."""


@dataclass(frozen=True, slots=True, order=True)
class Person:
    """Somebody in Slack, by the two IDs that never change. Never by a name."""

    team: str
    user: str

    def __str__(self) -> str:
        return f"{self.team}/{self.user}"


class Eligibility(StrEnum):
    ELIGIBLE = "eligible"
    NOT_ELIGIBLE = "not_eligible"
    CANNOT_TELL = "cannot_tell"
    """The directory could not be read. Never taken for a yes, nor for a no."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a person may approve a request now, by which source."""

    person: Person
    answer: Eligibility
    why: str
    """A sentence part: "on the list of approvers", "a guest", "Slack could not be read"."""


@dataclass(frozen=True, slots=True)
class Approval:
    by: Person
    digest: str
    at: datetime
    verified: bool
    """False while the directory could not confirm the person; it does not count until it can."""
    whole: str = ""
    """The digest of the whole list, where the order was approved as one line of it."""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Somebody does not approve any more. A click of theirs that is older than this must not count."""

    by: Person
    clicked: str
    """When, by Slack's clock: the one that also says when they clicked to approve."""


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to send one cancel. Written before anything leaves; never used twice."""

    epoch: str
    attempt: int
    at: datetime
    order: OrderState
    """The look-up the permit rests on."""


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """What somebody who may approve wants to know first. It is answered in the thread, among people."""

    by: Person
    question: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent to a provider, or to any, until somebody says so."""

    provider: str
    """Empty: all of them."""
    by: str
    """A Slack user ID, or what did it where that was nobody in Slack."""
    reason: str
    since: datetime


class Finding(StrEnum):
    """What people saw at the provider when the bot could not find out."""

    CANCELLED = "cancelled"
    NOT_CANCELLED = "not_cancelled"
    """The order is still as it was."""
    CANNOT_BE_FOUND_OUT = "cannot_be_found_out"


@dataclass(frozen=True, slots=True)
class Closing:
    """What one person found out about an order that needs a person. It takes another one to confirm."""

    by: Person
    finding: Finding
    evidence: str
    """Where they looked and what it says there, in their own words."""
    at: datetime
    confirmed_by: Person | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One wish to cancel one order: what its events add up to."""

    id: str
    state: State
    team: str
    channel: str
    """Where it is approved."""
    provider: str
    account: str
    reference: str
    """As people may see it: a fingerprint where the reference is a secret."""
    reference_key: str
    """SHA-256 over provider, account and the exact reference: the order's identity."""
    requester: Person
    reason: str
    quorum: int
    approvers: tuple[str, ...]
    """Slack user and user group IDs, frozen when it was asked."""
    created_at: datetime
    expires_at: datetime
    version: int = 0
    """How many events it is made of."""
    order: OrderState | None = None
    approvals: tuple[Approval, ...] = ()
    decided_by: Person | None = None
    """Who denied or withdrew it."""
    decision: str = ""
    """Why it was denied."""
    account_name: str = ""
    """Which of the provider's accounts, where there are several."""
    held: str = ""
    """Why an approved request is not executed at the moment."""
    attempts: int = 0
    permit: Permit | None = None
    outcome: Outcome | None = None
    ended_at: datetime | None = None
    closing: Closing | None = None
    """What people found out where the bot could not; it says nothing about the provider's answer."""
    taken_back: tuple[TakenBack, ...] = ()
    """The last time that each of these people took an approval back."""
    escalation: tuple[str, ...] = ()
    """Who is called as well, and may decide from then on, if it still waits at `escalate_at`."""
    escalate_at: datetime | None = None
    escalated: bool = False
    questions: tuple[OpenQuestion, ...] = ()
    batch: str = ""
    """The ID of what it was asked for in, together with others; empty where it was asked for alone."""

    @property
    def lane(self) -> str:
        """The account its calls go to: one that hangs must not delay another."""
        return f"{self.provider}/{self.account_name}" if self.account_name else self.provider

    @property
    def short_id(self) -> str:
        """What people see and type; commands take it as long as it is the only one beginning so."""
        return self.id[:8]

    @property
    def may_decide(self) -> tuple[str, ...]:
        """Slack user and user group IDs of those who may approve, deny and close it."""
        called = self.escalation if self.escalated else ()
        return (*self.approvers, *(one for one in called if one not in self.approvers))

    @property
    def counted(self) -> tuple[Approval, ...]:
        """The approvals that count towards the quorum: confirmed ones, and of a list only those of the
        same whole list. Two people who approved different lists have not approved together."""
        verified = [a for a in self.approvals if a.verified]
        agreed = Counter(a.whole for a in reversed(verified)).most_common(1)  # the latest, if as many
        return tuple(a for a in verified if a.whole == agreed[0][0])

    def approval_of(self, person: Person) -> Approval | None:
        return next((a for a in self.approvals if a.by == person), None)

    def taken_back_by(self, person: Person) -> TakenBack | None:
        return next((one for one in self.taken_back if one.by == person), None)


def reference_key(provider: str, account: str, reference: str) -> str:
    """The identity of an order: the same for the same order, without revealing the reference."""
    return _sha256(["order", 1, provider, account, reference])


def order_key(request: Request) -> str | None:
    """The order's identity by the provider's own word; None where its reference is identity enough."""
    # What could not be read when it was asked for may have been read before it was sent.
    known = (request.order, request.permit.order if request.permit else None)
    identity = next((order.identity for order in known if order and order.identity), "")
    return _sha256(["identity", 1, request.provider, request.account, identity]) if identity else None


def digest(request: Request) -> str:
    """What an approval is bound to: everything the approver was shown, as one SHA-256."""
    order = request.order
    # Left out where there is none: a digest from before there was escalation stays what it was.
    called = {"escalation": [request.escalation, _iso(request.escalate_at)]} if request.escalation else {}
    together = {"batch": request.batch} if request.batch else {}
    return _sha256(
        called
        | together
        | {
            "schema": 1,
            "operation": "cancel",
            "request": request.id,
            "team": request.team,
            "channel": request.channel,
            "provider": request.provider,
            "account": [request.account_name, request.account],
            "reference": request.reference_key,
            "order": None if order is None else [order.standing, order.known_as, order.facts],
            "requester": str(request.requester),
            "reason": request.reason,
            "created": request.created_at.isoformat(),
            "expires": request.expires_at.isoformat(),
            "quorum": request.quorum,
            "approvers": request.approvers,
        }
    )


def _iso(at: datetime | None) -> str:
    return at.isoformat() if at else ""


def closing_digest(request: Request) -> str:
    """What a confirmation is bound to: who found what with which evidence, about exactly this request.
    Without a proposal it stands for that."""
    closing = request.closing
    found = None if closing is None else [str(closing.by), closing.finding.value, closing.evidence]
    return _sha256({"schema": 1, "operation": "close", "request": digest(request), "found": found})


def canonical(value: object) -> bytes:
    """One spelling for equal values: what digests and the history's hashes are taken over."""
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def _sha256(value: object) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()
