"""What happened to a request: each event is one link of its history.

Stored for good and hashed: a field may be added with a default, never renamed or removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bot.model import Finding, Person, Verdict
from providers.contract import OrderState, Outcome


@dataclass(frozen=True, slots=True)
class Requested:
    team: str
    channel: str
    provider: str
    account: str
    reference: str
    reference_key: str
    requester: Person
    reason: str
    quorum: int
    approvers: tuple[str, ...]
    expires_at: datetime
    account_name: str = ""
    escalation: tuple[str, ...] = ()
    escalate_at: datetime | None = None
    batch: str = ""
    kind: Literal["requested"] = "requested"


@dataclass(frozen=True, slots=True)
class OrderRead:
    """The provider was looked up, and what people are to decide on is now this."""

    order: OrderState
    kind: Literal["order_read"] = "order_read"


@dataclass(frozen=True, slots=True)
class Approved:
    by: Person
    digest: str
    verified: bool
    why: str
    whole: str = ""
    """The digest of the whole list, where the order was approved as one line of it."""
    kind: Literal["approved"] = "approved"


@dataclass(frozen=True, slots=True)
class ApprovalVerified:
    by: Person
    why: str
    kind: Literal["approval_verified"] = "approval_verified"


@dataclass(frozen=True, slots=True)
class ApprovalVoided:
    by: Person
    why: str
    kind: Literal["approval_voided"] = "approval_voided"


@dataclass(frozen=True, slots=True)
class ApprovalTakenBack:
    by: Person
    clicked: str = ""
    """Slack's time of the click."""
    kind: Literal["approval_taken_back"] = "approval_taken_back"


@dataclass(frozen=True, slots=True)
class QuorumReached:
    kind: Literal["quorum_reached"] = "quorum_reached"


@dataclass(frozen=True, slots=True)
class Denied:
    by: Person
    reason: str
    why: str = ""
    """Why they count."""
    kind: Literal["denied"] = "denied"


@dataclass(frozen=True, slots=True)
class Questioned:
    by: Person
    question: str
    kind: Literal["questioned"] = "questioned"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    by: Person
    kind: Literal["withdrawn"] = "withdrawn"


@dataclass(frozen=True, slots=True)
class Expired:
    kind: Literal["expired"] = "expired"


@dataclass(frozen=True, slots=True)
class Escalated:
    """Those in `Requested.escalation` may decide as well from now on."""

    kind: Literal["escalated"] = "escalated"


@dataclass(frozen=True, slots=True)
class Held:
    """Approved, and still not executed, for this reason."""

    why: str
    kind: Literal["held"] = "held"


@dataclass(frozen=True, slots=True)
class Permitted:
    epoch: str
    attempt: int
    order: OrderState
    judged: tuple[Verdict, ...]
    kind: Literal["permitted"] = "permitted"


@dataclass(frozen=True, slots=True)
class Answered:
    """What the cancel itself came back with."""

    epoch: str
    outcome: Outcome
    kind: Literal["answered"] = "answered"


@dataclass(frozen=True, slots=True)
class Interrupted:
    epoch: str
    kind: Literal["interrupted"] = "interrupted"


@dataclass(frozen=True, slots=True)
class FollowedUp:
    """A look-up after the cancel that changed what is known."""

    outcome: Outcome
    kind: Literal["followed_up"] = "followed_up"


@dataclass(frozen=True, slots=True)
class PersonCalled:
    why: str
    kind: Literal["person_called"] = "person_called"


@dataclass(frozen=True, slots=True)
class ClosingProposed:
    """One person said what they found. It takes the place of what somebody said before."""

    by: Person
    finding: Finding
    evidence: str
    why: str
    """Why they count."""
    kind: Literal["closing_proposed"] = "closing_proposed"


@dataclass(frozen=True, slots=True)
class Closed:
    """A second person confirmed exactly what was proposed."""

    by: Person
    finding: Finding
    digest: str
    """`closing_digest` of what they confirmed."""
    why: str
    """Why they count."""
    kind: Literal["closed"] = "closed"


@dataclass(frozen=True, slots=True)
class AttemptRefused:
    """Somebody tried something that did not count."""

    by: Person
    action: str
    rule: str
    why: str = ""
    """What they were told."""
    kind: Literal["attempt_refused"] = "attempt_refused"


Event = (
    Requested
    | OrderRead
    | Approved
    | ApprovalVerified
    | ApprovalVoided
    | ApprovalTakenBack
    | QuorumReached
    | Denied
    | Questioned
    | Withdrawn
    | Expired
    | Escalated
    | Held
    | Permitted
    | Answered
    | Interrupted
    | FollowedUp
    | PersonCalled
    | ClosingProposed
    | Closed
    | AttemptRefused
)
