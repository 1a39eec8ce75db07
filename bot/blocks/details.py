"""Everything about one request, in a modal: what a card on a phone has no room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.blocks import ids
from bot.blocks.pauses import on_hold
from bot.blocks.text import (
    Block,
    code,
    context,
    literal,
    mention,
    plain_text,
    quote,
    section,
    sentence,
    when,
)
from bot.blocks.words import (
    account_of,
    all_warnings,
    approvals,
    explanation,
    label,
    listing,
    named,
    now,
    order_status,
    tally,
    the_order,
    who_may,
)
from bot.model import BEFORE_PERMIT, Approval, Request, digest
from providers.contract import Facts, Standing

AS_IT_WAS = "*As it was before:*"
SECTION_MAX = 2900
FACT_MAX = 300
SECTIONS_AT_MOST = 60
"""Of the 100 blocks a modal holds: no provider says as much."""


def details_view(request: Request, facts: Facts) -> Block:
    """All that is known about a request, as it is now, in whatever state. Nothing can be typed in it."""
    parts = [
        ("which", [*_which(request, facts)]),
        ("why", [f"{mention(request.requester.user)} asked {when(request.created_at)}:"]),
        ("reason", [quote(request.reason)]),
        ("order", [*_order(request, facts)]),
        ("consequence", [*_consequence(request, facts)]),
        ("who", [*_who(request)]),
        ("questions", [*_questions(request)]),
        ("outcome", [explanation(request, facts)]),
    ]
    blocks = [block for name, lines in parts for block in _sections(name, lines)][:SECTIONS_AT_MOST]
    return {
        "type": "modal",
        "callback_id": ids.DETAILS_VIEW,
        "title": plain_text("Details"),
        "close": plain_text("Close"),
        "blocks": [*blocks, context(_foot(request), ids.FOOT)],
    }


def _which(request: Request, facts: Facts) -> Iterator[str]:
    yield f"*{the_order(request, facts)}*"
    if request.account:
        yield f"Account {account_of(request)}"
    yield f"{now(request)}."
    if request.held and request.state in BEFORE_PERMIT:
        yield f"On hold: {on_hold(request.held)} Nothing is sent meanwhile."


def _order(request: Request, facts: Facts) -> Iterator[str]:
    order = request.order
    if order is None:
        yield f"The order has not been looked up at {label(facts)} yet."
    else:
        is_past = request.state not in BEFORE_PERMIT
        yield AS_IT_WAS if is_past else ""
        yield order_status(order, facts, "said" if is_past else "says")
        if order.known_as:
            yield f"• Known as: {literal(order.known_as, FACT_MAX)}"
        yield from (f"• {literal(name, 80)}: {literal(value, FACT_MAX)}" for name, value in order.facts)
    if facts.not_to_confuse:
        yield f"*Look-alikes:* {sentence(literal(facts.not_to_confuse))}"


def _consequence(request: Request, facts: Facts) -> Iterator[str]:
    undone = "" if facts.reversible else " *Cannot be undone.*"
    yield f"*If cancelled:* {sentence(literal(facts.consequence))}{undone}"
    yield f"*A success means:* {sentence(literal(facts.success_means))}"
    yield f"*Possible:* {sentence(literal(facts.limits))}"
    yield from (f"Warning: {sentence(literal(warning))}" for warning in all_warnings(request, facts))


def _who(request: Request) -> Iterator[str]:
    if request.state in BEFORE_PERMIT:
        yield f"*Who may approve or deny:* {who_may(request)}, and never the person who asked."
    if request.escalation and request.escalate_at and (request.escalated or request.state in BEFORE_PERMIT):
        called = named(request.escalation)
        then = "was called" if request.escalated else "is called if it still waits then"
        yield f"*Second line:* {called} {then}, {when(request.escalate_at)}, and may decide from then on."
    if request.state in BEFORE_PERMIT:
        yield _needed(request)
    yield f"*Approved by:* {listing([_approval(a) for a in request.approvals]) or 'nobody'}."
    if request.permit:
        yield f"*Cancel sent:* attempt {request.attempts}, {when(request.permit.at)}."
    if request.ended_at:
        yield f"*Ended:* {when(request.ended_at)}."


def _needed(request: Request) -> str:
    return (
        f"*Needed:* {approvals(request.quorum)} by different people before {when(request.expires_at)}; "
        f"{tally(request)} so far. All of them are judged again right before the cancel is sent. One denial "
        "ends the request."
    )


def _questions(request: Request) -> Iterator[str]:
    for one in request.questions:
        yield f"{mention(one.by.user)} asked {when(one.at)}:\n{quote(one.question)}"


def _approval(approval: Approval) -> str:
    doubt = "" if approval.verified else ", being checked, does not count yet"
    return f"{mention(approval.by.user)} ({when(approval.at)}{doubt})"


def _foot(request: Request) -> str:
    seen = "the order as it was read" if _was_seen(request) else "an order that nobody has seen"
    return (
        f"Request {code(request.id)}. An approval is bound to all of this and to {seen}: "
        f"{code(digest(request))}"
    )


def _was_seen(request: Request) -> bool:
    return request.order is not None and request.order.standing is not Standing.UNREADABLE


def _sections(name: str, lines: Sequence[str]) -> Iterator[Block]:
    """The lines in as many sections as they need; none of them is cut in half."""
    text = ""
    number = 0
    for line in filter(None, lines):
        if text and len(text) + 1 + len(line) > SECTION_MAX:
            yield section(text, f"{name}.{number}")
            text, number = "", number + 1
        text = f"{text}\n{line}" if text else line
    if text:
        yield section(text, f"{name}.{number}")
