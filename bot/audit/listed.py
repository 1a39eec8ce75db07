"""What the page about one order says of the list that it was asked for on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from bot.audit.dossier import Dossier, OnList
from bot.audit.page import Markup, Part, code, tag
from bot.batches import (
    LEFT_TO_PEOPLE,
    BatchAttemptRefused,
    BatchDecided,
    BatchEvent,
    BatchQuestioned,
    BatchRequested,
)
from bot.blocks.batch_words import orders
from bot.blocks.text import sentence
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


def on_one_card(there: OnList, whole: str = "", seq: int = 0) -> Iterator[Markup]:
    """In place of a card that nobody saw. `whole`: the digest of the list that was approved, by event
    `seq`."""
    if not whole:
        yield tag("p", "It is ", place(there), ", and was shown there, on one card for all of them.")
        return
    yield tag(
        "p",
        "Approved as ",
        place(there),
        ", on one card; bound to ",
        code(whole),
        " ",
        _kept(there, whole, seq),
    )


def _kept(there: OnList, whole: str, seq: int) -> Part:
    """Whether that is the list as it was, by the last decision on it before event `seq`."""
    for step in reversed(there.steps):
        event = step.event
        if step.row.seq < seq and isinstance(event, BatchDecided) and event.action == "approve":
            if whole == event.digest == step.digest_before:
                return f"(the hash of the list as it was before event {step.row.seq})"
            break
    return tag("span", "NOT the hash of the list as it was", class_="bad")


def in_summary(about: Dossier) -> Iterator[tuple[str, Part]]:
    there = about.on_list
    if there is None:
        return
    where = f"channel {there.card[0]}, message {there.card[1]}" if there.card else "none"
    yield "On a list", place(there)
    yield "Card of the list", where
