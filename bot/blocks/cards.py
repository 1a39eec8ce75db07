"""The message approvers vote on, from the first look-up to the outcome."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.blocks import ids
from bot.blocks.text import (
    Block,
    code,
    context,
    cut,
    literal,
    mention,
    plain,
    plain_text,
    quote,
    section,
    sentence,
    when,
)
from bot.blocks.words import (
    CLOSE,
    FINDINGS,
    approvals,
    explanation,
    found_by_people,
    label,
    listing,
    missing,
    now,
    order_facts,
    order_status,
    people,
    tally,
    the_order,
    the_order_plain,
    word,
)
from bot.model import BEFORE_PERMIT, Approval, Closing, Request, State, closing_digest, digest
from providers.contract import Facts, OrderState, Standing

WARNINGS_AT_MOST = 8
CONFIRM_MAX = 300
CANNOT_BE_UNDONE = "Cannot be undone."

_BUTTON = re.compile(r"([0-9A-Za-z_-]{1,64})(?::([0-9a-f]{64}))?", re.ASCII)
_SCHEME = re.compile(r"https?://", re.ASCII)

_SIGNS = {
    State.CHECKING: ":mag:",
    State.PENDING: ":raised_hand:",
    State.APPROVED: ":hourglass_flowing_sand:",
    State.EXECUTING: ":hourglass_flowing_sand:",
    State.ACCEPTED: ":hourglass_flowing_sand:",
    State.UNKNOWN: ":grey_question:",
    State.NEEDS_PERSON: ":rotating_light:",
    State.CANCELLED: ":white_check_mark:",
    State.ALREADY_CANCELLED: ":white_check_mark:",
    State.CLOSED: ":busts_in_silhouette:",
}
"""Decoration: the words beside it say the same."""


@dataclass(frozen=True)
class Message:
    """What is posted: blocks for eyes, and a text for notifications and screen readers."""

    text: str
    blocks: list[Block]


def approval_card(request: Request, facts: Facts) -> Message:
    """The one message about a request. The same records give the same card."""
    parts = [
        section(f"{_headline(request, facts)}\n{_wish(request, facts)}", ids.HEAD),
        section(quote(request.reason), ids.QUOTED_REASON),
        _order(request, facts),
        _consequence(request, facts),
        _explanation(request, facts),
        _approvals(request),
        context(_foot(request), ids.FOOT),
        _buttons(request, facts),
    ]
    return Message(_in_words(request, facts), [part for part in parts if part])


def read_button(value: object) -> tuple[str, str] | None:
    """Request ID and digest of a clicked button; the digest is empty where the button carries none.
    None when the value is not one of ours."""
    found = _BUTTON.fullmatch(value) if isinstance(value, str) else None
    return (found[1], found[2] or "") if found else None


# --- what it says -----------------------------------------------------------------------------------


def _headline(request: Request, facts: Facts) -> str:
    at = label(facts)
    match request.state:
        case State.CHECKING:
            says = f"*Looking the order up at {at} …*"
        case State.PENDING:
            more = "more " if request.counted else ""
            says = f"*Waiting for {approvals(missing(request)).replace(' ', f' {more}', 1)}*"
        case State.APPROVED if request.held:
            says = f"*On hold:* {sentence(literal(request.held))} Nothing is sent meanwhile."
        case State.APPROVED:
            says = f"*Approved by {people(a.by for a in request.counted)}.* About to cancel …"
        case State.EXECUTING:
            says = f"*Cancelling at {at} now …*"
        case _:
            says = now(request)
    return f"{_SIGNS.get(request.state, ':no_entry_sign:')} {says}"


def _wish(request: Request, facts: Facts) -> str:
    asks = "asks" if request.state in BEFORE_PERMIT else "asked"
    return f"{mention(request.requester.user)} {asks} to cancel {the_order(request, facts)}:"


def _order(request: Request, facts: Facts) -> Block | None:
    """Before the cancel: everything there is to decide on. Later: only which order it was."""
    order = request.order
    if order is None:
        return None
    known = order_facts(order)
    if request.state in BEFORE_PERMIT:
        text = "\n".join(filter(None, [order_status(order, facts), *_doubt(order), known]))
    else:
        text = f"*As it was before:* {known}" if known else ""
    return section(text, ids.ORDER) if text else None


def _doubt(order: OrderState) -> list[str]:
    if order.standing is Standing.UNREADABLE:
        return ["Warning: nobody has seen this order. Check it yourself before you approve."]
    if order.standing is Standing.UNCLEAR:
        return ["Warning: it is not clear whether this order can be cancelled."]
    return []


def _consequence(request: Request, facts: Facts) -> Block | None:
    if request.state not in {State.PENDING, State.APPROVED}:
        return None
    undone = "" if facts.reversible else f" *{CANNOT_BE_UNDONE}*"
    warnings = [*facts.warnings, *(request.order.warnings if request.order else ())]
    lines = [f"*If cancelled:* {sentence(literal(facts.consequence))}{undone}"]
    lines += [f"Warning: {sentence(literal(warning))}" for warning in warnings[:WARNINGS_AT_MOST]]
    return section("\n".join(lines), ids.CONSEQUENCE)


def _explanation(request: Request, facts: Facts) -> Block | None:
    text = _earlier_attempt(request) or explanation(request, facts)
    return section(text, ids.EXPLANATION) if text else None


def _earlier_attempt(request: Request) -> str:
    if request.state not in {State.PENDING, State.APPROVED} or not request.outcome:
        return ""
    return (
        f"An earlier attempt did not cancel it, as far as is known. {sentence(literal(request.outcome.said))}"
    )


def _approvals(request: Request) -> Block | None:
    if request.state is State.PENDING:
        return section(_so_far(request), ids.APPROVALS)
    if request.state is State.APPROVED and not request.held:
        return None  # the first line names them
    with_times = listing([f"{mention(a.by.user)} ({when(a.at)})" for a in request.counted])
    return section(f"*Approved by* {with_times}", ids.APPROVALS) if with_times else None


def _so_far(request: Request) -> str:
    so_far = listing([_approval(approval) for approval in request.approvals]) or "nobody"
    more = " more" if request.counted else ""
    until = when(request.expires_at)
    return (
        f"*Approved so far:* {so_far}. {missing(request)}{more} needed until {until}, not from the requester."
    )


def _approval(approval: Approval) -> str:
    return mention(approval.by.user) + ("" if approval.verified else " (being checked, does not count yet)")


def _foot(request: Request) -> str:
    permit = None if request.state in BEFORE_PERMIT else request.permit
    ended = request.ended_at
    parts = [
        f"Asked {when(request.created_at)}",
        f"Cancel started {when(permit.at)}" if permit else "",
        f"Ended {when(ended)}" if ended else "",
        f"Account {literal(_SCHEME.sub('', request.account), 200)}" if request.account else "",
        f"Request {code(request.short_id)}",
    ]
    return " · ".join(filter(None, parts))


def _in_words(request: Request, facts: Facts) -> str:
    """The card in two sentences, for a notification or a screen reader."""
    who = mention(request.requester.user)
    asks = "asks" if request.state in BEFORE_PERMIT else "asked"
    reason = f"Reason: {sentence(literal(request.reason, 600))}"
    more = reason if request.state in BEFORE_PERMIT else explanation(request, facts).replace("\n> ", " ")
    state = f"State: {word(request.state)}{_beside_the_state(request)}."
    return f"{who} {asks} to cancel {the_order(request, facts)}. {state} {more}".replace("\n", " · ").rstrip()


def _beside_the_state(request: Request) -> str:
    if request.state is State.PENDING:
        return f" ({tally(request)} so far)"
    held = request.state is State.APPROVED and request.held
    return ", on hold" if held else found_by_people(request)


# --- what can be pressed ----------------------------------------------------------------------------


def _buttons(request: Request, facts: Facts) -> Block | None:
    if request.state is State.NEEDS_PERSON:
        return {"type": "actions", "block_id": ids.BUTTONS, "elements": _to_close(request, facts)}
    if request.state not in BEFORE_PERMIT:
        return None
    buttons = [_withdraw(request, facts)]
    if request.state is not State.CHECKING:
        buttons = [_deny(request, facts), *buttons]
    if request.state is State.PENDING or request.held:
        buttons = [_approve(request, facts), *buttons]  # held for want of approvals, perhaps
    return {"type": "actions", "block_id": ids.BUTTONS, "elements": buttons}


def _approve(request: Request, facts: Facts) -> Block:
    undone = "" if facts.reversible else CANNOT_BE_UNDONE
    question = _confirm("Approve this cancellation?", _repeat(request, facts, undone), "Approve cancellation")
    button = _button(ids.APPROVE, "Approve cancellation", f"{request.id}:{digest(request)}", request, facts)
    return {**button, "style": "danger", "confirm": {**question, "style": "danger"}}


def _deny(request: Request, facts: Facts) -> Block:
    """No dialog of its own: it opens a form that repeats the order and asks why."""
    return _button(ids.DENY, "Deny", f"{request.id}:{digest(request)}", request, facts)


def _withdraw(request: Request, facts: Facts) -> Block:
    text = _repeat(request, facts, "Only the person who asked can do this. Nothing will be sent.")
    question = _confirm("Withdraw this request?", text, "Withdraw request")
    return {**_button(ids.WITHDRAW, "Withdraw", request.id, request, facts), "confirm": question}


def _to_close(request: Request, facts: Facts) -> list[Block]:
    """Say what one found, which opens a form; once somebody has, confirm it or say something else."""
    value = f"{request.id}:{closing_digest(request)}"
    if request.closing is None:
        return [{**_button(ids.CLOSE, CLOSE, value, request, facts), "style": "primary"}]
    confirm = f"Confirm: {FINDINGS[request.closing.finding]}"
    question = _confirm("Did you find the same?", _repeat_finding(request, request.closing, facts), "Confirm")
    return [
        {**_button(ids.CONFIRM_CLOSING, confirm, value, request, facts), "confirm": question},
        _button(ids.CLOSE, "I found something else", value, request, facts),
    ]


def _repeat_finding(request: Request, closing: Closing, facts: Facts) -> str:
    """Order, who, what, and of the evidence as much as a dialog has room for; the card has all of it."""
    order = the_order_plain(request, facts, 220)
    said = f"{order}. {closing.by.user} found: {FINDINGS[closing.finding]}."
    room = CONFIRM_MAX - len(said) - 1
    return f"{said} {plain(closing.evidence, room)}" if room > 10 else said


def _button(action: str, text: str, value: str, request: Request, facts: Facts) -> Block:
    spoken = f"{text}: {the_order_plain(request, facts, 75)}"
    return {
        "type": "button",
        "action_id": action,
        "text": plain_text(text),
        "value": value,
        "accessibility_label": cut(spoken, 75),
    }


def _confirm(title: str, text: str, yes: str) -> Block:
    return {
        "title": plain_text(title),
        "text": plain_text(text),
        "confirm": plain_text(yes),
        "deny": plain_text("Go back"),
    }


def _known(order: OrderState) -> list[str]:
    values = [value for _, value in order.facts]
    named = [order.known_as] if order.known_as and order.known_as not in values else []
    return [*named, *(f"{name} {value}" for name, value in order.facts[:3])]


def _repeat(request: Request, facts: Facts, last: str) -> str:
    """The order for a dialog; first what it must not lack, then what there is room for."""
    order = the_order_plain(request, facts, 230)
    known = ", ".join(_known(request.order)) if request.order else ""
    room = CONFIRM_MAX - len(order) - len(last) - len(" ().  ")
    named = f" ({plain(known, room)})" if known and room > 10 else ""
    return f"{order}{named}. {last}".rstrip()
