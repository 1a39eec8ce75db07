"""What is said about several orders at once: in the thread, in direct messages, and to whoever asks."""

from __future__ import annotations

from collections.abc import Sequence

from bot.batch.rules import Batch, waiting
from bot.blocks import ids
from bot.blocks.batch_words import (
    counts,
    in_numbers,
    lowest_tally,
    not_as_wished,
    numbered,
    orders,
    these,
    whole,
)
from bot.blocks.cards import Message
from bot.blocks.text import channel, code, context, literal, mention, quote, section, sentence, when
from bot.blocks.thread import thread_line
from bot.blocks.words import approvals, call, label, missing, the_order
from bot.events import Event
from bot.model import Request, State
from providers.contract import Facts

EXPLAINED = 15
"""Orders that the final reply tells by themselves what went wrong with."""


def batch_asked(batch: Batch, facts: Facts) -> str:
    """The private answer to a form that was sent."""
    return (
        f"Your request to cancel {these(batch, facts)} is saved. They are looked up first; "
        f"those that can be cancelled then need {approvals(batch.asked.quorum)} by other people in "
        f"{channel(batch.channel)} until {when(batch.asked.expires_at)}. Nothing is cancelled before that.\n"
        f"See {code(f'/cancel-order status {batch.short_id}')}, "
        f"or take it back with {code(f'/cancel-order withdraw {batch.short_id}')}."
    )


def batch_call(batch: Batch, lines: Sequence[Request], facts: Facts) -> str:
    """Calls everybody who may approve, once all lines have been looked up."""
    asked = len(waiting(lines))
    left = len(lines) - asked
    others = f" {orders(left)} cannot be cancelled or need no approval, and will not be sent." if left else ""
    called = call(lines[0].may_decide, but=[batch.requester.user])
    return (
        f"{called}Please decide whether to cancel {orders(asked)} at {label(facts)}, all at once.{others} "
        f"Reason: {sentence(literal(batch.asked.reason, 150))} "
        f"Approve or deny on the card of this thread; *Details* there has every order. It needs "
        f"{approvals(batch.asked.quorum)} until {when(batch.asked.expires_at)}; "
        "the person who asked cannot approve."
    )


def batch_again(batch: Batch, line: Request, facts: Facts) -> str:
    """An order changed, or an approver is gone, after all had approved: it waits, the rest goes on."""
    called = call(line.may_decide, but=[batch.requester.user, *(a.by.user for a in line.approvals)])
    return (
        f"{called}{the_order(line, facts)} was not sent: since it was approved the order changed, or "
        "somebody who approved may not do so any more. It waits for approval on the card of this thread, "
        "with any others of that kind; the rest goes on."
    )


def batch_left(line: Request, events: Sequence[Event], facts: Facts) -> str:
    """One order was withdrawn or denied by itself; the rest goes on."""
    return f"{the_order(line, facts)} is off the list. {thread_line(events, line, facts) or ''}".rstrip()


def batch_reminder(batch: Batch, lines: Sequence[Request], facts: Facts, ends: bool = False) -> str:
    """Notifies those who may still approve; `ends`: shortly before it expires."""
    asked = [line for line in lines if line.state is State.PENDING]
    done = [batch.requester.user, *(a.by.user for line in asked for a in line.approvals)]
    called = call(asked[0].may_decide if asked else batch.asked.approvers, but=done)
    needed = approvals(max((missing(line) for line in asked), default=0))
    last = "Last call" if ends else "Reminder"
    return (
        f"{called}{last}: {orders(len(asked))} at {label(facts)} still need {needed}. "
        f"The request expires {when(batch.asked.expires_at)}."
    )


def batch_decided(batch: Batch, action: str, by: str, changed: Sequence[Request], reason: str = "") -> str:
    """One reply for what was done to many lines at once."""
    n = orders(len(changed))
    who = mention(by) if by else ""
    match action:
        case "approve":
            enough = [line for line in changed if line.state is State.APPROVED]
            then = (
                " Enough have approved: each order is looked up once more, then cancelled." if enough else ""
            )
            counted = lowest_tally(changed)
            return f"{who} approved {n} ({counted}).{then}"
        case "question":
            called = mention(batch.requester.user)
            return f"{called}, {who} asks about your request:\n{quote(reason)}\nAnswer in this thread."
        case "take back":
            return f"{who} took the approval of {n} back. Now {lowest_tally(changed)}."
        case "deny":
            return f"{who} denied {n}:\n{quote(reason)}\nNobody can approve them now."
        case "withdraw":
            return f"{who} took {n} back. Nothing is sent for them."
        case "escalate":
            called = call(batch.asked.escalation, but=[batch.requester.user])
            waits = "waits" if len(changed) == 1 else "wait"
            return f"{called}{n} still {waits} for approval. From now on you may approve or deny them too."
        case _:
            return f"The request expired before {n} could be sent. Nothing is sent for them."


def batch_outcome(batch: Batch, lines: Sequence[Request], facts: Facts) -> str:
    """The final reply: how many ended how, and which are not cancelled."""
    people = "What needs a person has a card of its own below." if counts(lines)[State.NEEDS_PERSON] else ""
    wrong = not_as_wished(lines, EXPLAINED)
    return whole([f"Outcome of {these(batch, facts)}: *{in_numbers(lines)}*.", people, *wrong])


def batch_dm(batch: Batch, lines: Sequence[Request], facts: Facts) -> Message:
    foot = context(f"Request {code(batch.short_id)} in {channel(batch.channel)}.", ids.FOOT)
    text = batch_outcome(batch, lines, facts)
    return Message(
        f"Your request to cancel {these(batch, facts)}: {in_numbers(lines)}.",
        [section(text, ids.HEAD), foot],
    )


def batch_status(batch: Batch, lines: Sequence[Request], facts: Facts) -> str:
    """Everything somebody needs to know who asks for it by its ID."""
    reason = sentence(literal(batch.asked.reason, 600))
    asked = f"{mention(batch.requester.user)} asked {when(batch.created_at)}: {reason}"
    foot = f"Request {code(batch.short_id)} in {channel(batch.channel)}."
    return "\n".join([f"{these(batch, facts)}: *{in_numbers(lines)}*.", _list(batch, lines), asked, foot])


def _list(batch: Batch, lines: Sequence[Request]) -> str:
    return numbered(lines, batch.asked.reason, "more in *Details* on the card")


def batch_question(batch: Batch, lines: Sequence[Request], facts: Facts) -> str:
    """What is asked, for somebody who can answer it in their App Home."""
    asked = waiting(lines)
    so_far = f"{lowest_tally(asked)} approvals" if asked else in_numbers(lines)
    return whole(
        [
            f"*{orders(len(asked or lines))} at {label(facts)}*: {so_far}, until "
            f"{when(batch.asked.expires_at)}.",
            f"{mention(batch.requester.user)} asks, because:\n{quote(batch.asked.reason, 150)}",
            numbered(asked or lines, batch.asked.reason),
            f"If cancelled: {literal(facts.consequence)}",
        ]
    )


def batch_line(batch: Batch, lines: Sequence[Request], facts: Facts) -> str:
    """One line of a list of requests."""
    held = any(line.state is State.APPROVED and line.held for line in lines)
    on_hold = ", some on hold" if held else ""
    return (
        f"• {these(batch, facts)}: *{in_numbers(lines)}{on_hold}*, asked by {mention(batch.requester.user)} "
        f"{when(batch.created_at)}, request {code(batch.short_id)}."
    )
