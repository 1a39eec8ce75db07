"""One reply in the card's thread for what has just happened: a full sentence in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from bot.blocks.text import literal, mention, quote, sentence, when
from bot.blocks.words import (
    approvals,
    call,
    explanation,
    found,
    label,
    missing,
    now,
    order_facts,
    order_status,
    tally,
    the_order,
)
from bot.events import (
    Answered,
    ApprovalTakenBack,
    ApprovalVerified,
    ApprovalVoided,
    Approved,
    AttemptRefused,
    Closed,
    ClosingProposed,
    Denied,
    Escalated,
    Event,
    Expired,
    FollowedUp,
    Held,
    Interrupted,
    OrderRead,
    Permitted,
    PersonCalled,
    Questioned,
    QuorumReached,
    Requested,
    Withdrawn,
)
from bot.model import Request, State
from providers.contract import Facts, OrderState

_FIRST_LOOK_UP = 2
"""The version of a request after its first look-up."""

_CLEARED = "Approvals given before do not count any more. Please look at the card again and decide anew."


def thread_line(
    events: Sequence[Event], request: Request, facts: Facts, *, before: Request | None = None
) -> str | None:
    """The reply for events that were saved together, or None when there is nothing to say.

    `request` is what they made of it; `before`, what it was until then, lets a changed order be told
    as "was" and "is".
    """
    said = [_say(event, request, facts, before) for event in events]
    return "\n".join(filter(None, said)) or None


def _say(event: Event, request: Request, facts: Facts, before: Request | None) -> str:
    match event:
        case Approved(by, _, verified, why):
            return _approved(mention(by.user), verified, why, request)
        case ApprovalVerified(by, _):
            return f"The approval of {mention(by.user)} is confirmed ({tally(request)})."
        case ApprovalVoided(by, why):
            return _voided(mention(by.user), why, request)
        case ApprovalTakenBack(by):
            return f"{mention(by.user)} took the approval back. Now {tally(request)}.{_still(request)}"
        case QuorumReached():
            return f"Quorum reached. The order is looked up once more at {label(facts)}, then cancelled."
        case Denied(by, reason):
            return f"{mention(by.user)} denied:\n{quote(reason)}\n{now(request)}. Nobody can approve it now."
        case Questioned(by, question):
            return _questioned(mention(by.user), question, request)
        case Withdrawn() | Expired():
            return _concluded(request, facts)
        case Escalated():
            return _escalated(request, facts)
        case OrderRead(order):
            return _order_read(order, request, facts, before)
        case Held(why):
            return f"On hold: {sentence(literal(why))} Nothing is sent until that is cleared."
        case Permitted(_, attempt, order, _):
            return f"Cancelling at {label(facts)} now (attempt {attempt}). {order_status(order, facts)}"
        case Answered() | FollowedUp() | Interrupted():
            return _concluded(request, facts)
        case PersonCalled():
            called = call(request.may_decide, but=[request.requester.user])
            return f"{called}{_concluded(request, facts)}"
        case ClosingProposed():
            return f"{found(request)}Somebody else has to look as well and confirm it on the card."
        case Closed():
            return _concluded(request, facts)
        case Requested() | AttemptRefused():
            return ""
        case _:
            assert_never(event)


def _escalated(request: Request, facts: Facts) -> str:
    done = [request.requester.user, *(approval.by.user for approval in request.approvals)]
    return (
        f"{call(request.escalation, but=done)}You are called because the request to cancel "
        f"{the_order(request, facts)} has waited since {when(request.created_at)} and still needs "
        f"{approvals(missing(request))} until {when(request.expires_at)}. From now on you may approve or "
        "deny it too, on the card of this thread."
    )


def _questioned(who: str, question: str, request: Request) -> str:
    return (
        f"{mention(request.requester.user)}, {who} asks:\n{quote(question)}\nPlease answer here in the "
        "thread, or press *Withdraw* on the card. Nothing is decided by this: the request can still be "
        f"approved until {when(request.expires_at)}."
    )


def _approved(who: str, verified: bool, why: str, request: Request) -> str:
    if verified:
        return f"{who} approved ({tally(request)})."
    doubt = f"It does not count until it is confirmed that they may ({literal(why)})"
    return f"{who} approved. {doubt}; {tally(request)} so far."


def _voided(who: str, why: str, request: Request) -> str:
    return (
        f"The approval of {who} no longer counts: {sentence(literal(why))} Now {tally(request)}."
        f"{_still(request)}"
    )


def _still(request: Request) -> str:
    return f" {approvals(missing(request))} still needed." if missing(request) else ""


def _order_read(order: OrderState, request: Request, facts: Facts, before: Request | None) -> str:
    if request.state is not State.PENDING:
        return _concluded(request, facts)
    if before is None:
        return "" if request.version <= _FIRST_LOOK_UP else f"{_described(order, facts)} {_CLEARED}"
    if before.state is State.CHECKING:
        return ""  # the call to the approvers is said instead
    was = _described(before.order, facts)
    return (
        f"The order changed at {label(facts)} since it was approved.\n"
        f"Before: {was}\nNow: {_described(order, facts)}\n{_CLEARED}"
    )


def _described(order: OrderState | None, facts: Facts) -> str:
    if order is None:
        return "not looked up."
    return " ".join(filter(None, [order_status(order, facts), order_facts(order, 60)]))


def _concluded(request: Request, facts: Facts) -> str:
    if request.state is State.APPROVED and request.outcome:
        happened = sentence(literal(request.outcome.said))
        return (
            f"Attempt {request.attempts} did not cancel the order, as far as is known. {happened} "
            "The order is looked up once more, then the cancel is tried again."
        )
    return f"{now(request)}. {explanation(request, facts)}".rstrip()
