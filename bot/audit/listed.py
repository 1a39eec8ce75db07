"""What the page about one order says of the list that it was asked for on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from bot.audit.dossier import Dossier, OnList, Step
from bot.audit.page import Markup, Part, code, tag
from bot.batch.rules import (
    LEFT_TO_PEOPLE,
    BatchAttemptRefused,
    BatchDecided,
    BatchEvent,
    BatchQuestioned,
    BatchRequested,
)
from bot.blocks.batch_words import orders
from bot.blocks.text import sentence
from bot.events import Approved
from bot.model import Request


def told_of_list(event: BatchEvent) -> str:
    """What happened to the whole list."""
    match event:
        case BatchRequested(requester=who, reason=why, lines=lines):
            return f"{who.user} asked for the cancellation of {orders(len(lines))} at once: {sentence(why)}"
        case BatchDecided(by=who, action=action, lines=changed):
            return f"On the list, {who.user} chose to {action}; that concerned {orders(changed)}."
        case BatchQuestioned(by=who, question=question):
            return f"On the list, {who.user} asked the requester: {question}"
        case BatchAttemptRefused(by=who, action=action, rule=rule):
            return f"On the list, {who.user} tried to {action}, which was refused (rule {rule})."
        case _:
            assert_never(event)


def shown_on(about: Dossier, before: Request) -> OnList | None:
    """The list on whose card an order was shown; None where it had a card of its own."""
    return None if before.state in LEFT_TO_PEOPLE else about.on_list


def place(there: OnList) -> Markup:
    """Such as "line 2 of 5 in request …"."""
    of = len(there.batch.asked.lines)
    return tag("span", f"line {there.number} of {of} in request ", code(there.batch.id))


def on_one_card(there: OnList, step: Step) -> Markup:
    """In place of a card that nobody saw."""
    event = step.event
    if not isinstance(event, Approved):
        return tag("p", "It is ", place(there), ", and was shown there, on one card for all of them.")
    bound = [", on one card; bound to ", code(event.whole), " ", _kept(there, event, step.row.seq)]
    return tag("p", "Approved as ", place(there), *bound)


def _kept(there: OnList, approved: Approved, seq: int) -> Part:
    """Whether that is the list as it was when it was approved, which was noted right before event `seq`."""
    for step in reversed(there.steps):
        event = step.event
        if step.row.seq < seq and isinstance(event, BatchDecided) and event.action == "approve":
            if event.by == approved.by and approved.whole == event.digest == step.digest_before:
                return f"(the hash of the list as it was before event {step.row.seq})"
            break
    return tag("span", "NOT the hash of the list as it was", class_="bad")


def in_summary(about: Dossier) -> Iterator[tuple[str, Part]]:
    there = about.on_list
    if there is not None:
        yield "On a list", place(there)
        yield "Card of the list", place_of(there.card)


def place_of(card: tuple[str, str] | None) -> str:
    return f"channel {card[0]}, message {card[1]}" if card else "none"
