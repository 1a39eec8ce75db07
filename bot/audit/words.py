"""Each event in a plain sentence, for somebody who was not there."""

from __future__ import annotations

from typing import assert_never

from bot.blocks.text import sentence
from bot.blocks.words import FINDINGS
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
from providers.contract import OrderState, Outcome, Result, Standing

STANDINGS = {
    Standing.CANCELLABLE: "it can be cancelled",
    Standing.CANCELLED: "it is cancelled",
    Standing.NOT_CANCELLABLE: "it cannot be cancelled",
    Standing.NOT_FOUND: "there is no such order",
    Standing.UNCLEAR: "it is not clear whether it can be cancelled",
    Standing.UNREADABLE: "the provider could not be asked",
}
RESULTS = {
    Result.CANCELLED: "proved: cancelled",
    Result.ALREADY_CANCELLED: "proved: it was cancelled before",
    Result.ACCEPTED: "the provider took it and has to carry it out",
    Result.REFUSED: "the provider refused",
    Result.NO_EFFECT: "proved: this attempt changed nothing",
    Result.UNKNOWN: "nothing is proved",
}


def told(event: Event) -> str:
    """What happened."""
    match event:
        case Requested(requester=who, reason=why):
            return f"{who.user} asked for the cancellation: {sentence(why)}"
        case OrderRead(order):
            return f"The order was looked up: {order_in_words(order)}"
        case Approved(by=who, verified=True):
            return f"{who.user} approved."
        case Approved(by=who, why=why):
            return f"{who.user} approved; it did not count yet ({why})."
        case ApprovalVerified(by=who):
            return f"The approval of {who.user} was confirmed, and counts."
        case ApprovalVoided(by=who, why=why):
            return f"The approval of {who.user} does not count any more: {sentence(why)}"
        case ApprovalTakenBack(by=who):
            return f"{who.user} took the approval back."
        case QuorumReached():
            return "Enough people had approved."
        case Denied(by=who, reason=why):
            return f"{who.user} denied: {sentence(why)}"
        case Questioned(by=who, question=question):
            return f"{who.user} asked the requester: {question}"
        case Withdrawn(by=who):
            return f"{who.user} withdrew the request."
        case Expired():
            return "It expired."
        case Escalated():
            return "Nobody had decided in time, so the second line was called and may decide as well."
        case AttemptRefused(by=who, action=action, rule=rule):
            return f"{who.user} tried to {action}, which was refused (rule {rule})."
        case _:
            return _told_of_the_cancel(event)


def _told_of_the_cancel(
    event: Held | Permitted | Answered | Interrupted | FollowedUp | PersonCalled | ClosingProposed | Closed,
) -> str:
    match event:
        case Held(why):
            return f"On hold, nothing was sent: {sentence(why)}"
        case Permitted(attempt=attempt):
            return f"Everything was judged once more, and attempt {attempt} was permitted."
        case Answered(outcome=outcome):
            return f"The cancel came back: {outcome_in_words(outcome)}"
        case Interrupted():
            return "The bot was interrupted before it knew an answer. Only a look-up can tell."
        case FollowedUp(outcome):
            return f"A look-up after the cancel: {outcome_in_words(outcome)}"
        case PersonCalled(why):
            return f"People were called to find out: {sentence(why)}"
        case ClosingProposed(by=who, finding=finding, evidence=evidence):
            return f"{who.user} looked and found it {FINDINGS[finding]}: {sentence(evidence)}"
        case Closed(by=who, finding=finding):
            return f"{who.user} looked as well and found the same: {FINDINGS[finding]}."
        case _:
            assert_never(event)


def order_in_words(order: OrderState) -> str:
    status = f', status "{order.status}"' if order.status else ""
    detail = f" ({order.detail.rstrip('.')})" if order.detail else ""
    return f"{STANDINGS[order.standing]}{status}{detail}."


def outcome_in_words(outcome: Outcome) -> str:
    code = f" [{outcome.code}]" if outcome.code else ""
    return f"{RESULTS[outcome.result]}{code}. {sentence(outcome.said)}".rstrip()
