"""What people and the worker ask for: a command each, which `bot.rules` turns into events or refuses."""

from __future__ import annotations

from dataclasses import dataclass

from bot.model import Eligibility, Finding, Person, Verdict
from providers.contract import OrderState, Outcome


@dataclass(frozen=True, slots=True)
class Approve:
    by: Person
    digest: str
    """Of the card that was clicked."""
    verdict: Verdict
    clicked: str = ""
    """Slack's time of the click; empty where it is not known."""
    whole: str = ""
    """The digest of the whole list that was clicked; empty where one order was."""


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Not approve any more. Nobody has to be an approver still to do so."""

    by: Person
    clicked: str = ""


@dataclass(frozen=True, slots=True)
class Deny:
    by: Person
    reason: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Question:
    """Ask the requester something. It decides nothing, and the clock keeps running."""

    by: Person
    question: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Withdraw:
    by: Person


@dataclass(frozen=True, slots=True)
class Expire:
    pass


@dataclass(frozen=True, slots=True)
class Escalate:
    """It has waited long enough: call the people who are named for that."""


@dataclass(frozen=True, slots=True)
class RecordOrder:
    """The look-up before anybody is asked."""

    order: OrderState


@dataclass(frozen=True, slots=True)
class Judge:
    """What the directory found out about approvals it could not confirm at the click."""

    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class TakePermit:
    """Everything is judged again, and only then one cancel may leave."""

    epoch: str
    order: OrderState
    """A fresh look-up."""
    verdicts: tuple[Verdict, ...]
    """On everybody who approved, against the frozen list and the present one."""
    requester_present: Eligibility
    quorum: int
    """The present setting; the stricter of it and the frozen one holds."""
    account: str
    """The account the cancel would go to now."""
    doubt: str = ""
    """Why nothing may be sent from this process at present; empty when there is no such reason."""


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    epoch: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RecordLoss:
    """A cancel was sent, and the database has lost its permit since: it stands where it stood before."""

    why: str


@dataclass(frozen=True, slots=True)
class RecordInterruption:
    """A permit was found whose answer nobody recorded: the process died in between."""

    epoch: str


@dataclass(frozen=True, slots=True)
class RecordFollowUp:
    """What a look-up found out about the call under that permit, and says of no later one."""

    epoch: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class CallPerson:
    epoch: str
    why: str


@dataclass(frozen=True, slots=True)
class ProposeClosing:
    """Somebody looked at an order that needs a person, and says what they found."""

    by: Person
    finding: Finding
    evidence: str
    digest: str
    """`closing_digest` of what they were shown: nobody replaces a proposal they have not seen."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ConfirmClosing:
    """Somebody else found the same."""

    by: Person
    digest: str
    """`closing_digest` of the card that was clicked."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Hold:
    """An approved request cannot be executed at the moment."""

    why: str


Command = (
    Approve
    | TakeBack
    | Deny
    | Question
    | Withdraw
    | Expire
    | Escalate
    | RecordOrder
    | Judge
    | TakePermit
    | RecordAnswer
    | RecordLoss
    | RecordInterruption
    | RecordFollowUp
    | CallPerson
    | ProposeClosing
    | ConfirmClosing
    | Hold
)
