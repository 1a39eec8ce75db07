"""The message approvers vote on, from the first look-up to the outcome.

Made for a phone at night: the risk first, at most eight short lines, then the buttons. Whatever is longer
is behind *Details* (`bot/blocks/details.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.blocks import ids
from bot.blocks.pauses import on_hold, waits_for_a_resume
from bot.blocks.text import (
    Block,
    code,
    context,
    cut,
    literal,
    mention,
    plain,
    plain_text,
    section,
    sentence,
    when,
)
from bot.blocks.words import (
    CLOSE,
    FINDINGS,
    account_of,
    all_warnings,
    explanation,
    found_by_people,
    label,
    listing,
    missing,
    named,
    now,
    order_facts,
    order_status,
    people,
    questions,
    tally,
    the_order,
    the_order_plain,
    word,
)
from bot.model import BEFORE_PERMIT, Approval, Closing, Request, State, closing_digest, digest
from providers.contract import Facts, OrderState

REASON_SHOWN = 150
WARNING_SHOWN = 200
FACTS_SHOWN = 4
FACT_SHOWN = 60
CONFIRM_MAX = 300
CANNOT_BE_UNDONE = "Cannot be undone."

CALLED_OFF = frozenset({State.DENIED, State.WITHDRAWN, State.EXPIRED, State.FAILED})
"""Ended without a cancellation, so that somebody may want to ask anew."""

_BUTTON = re.compile(r"([0-9A-Za-z_-]{1,64})(?::([0-9a-f]{64}))?", re.ASCII)

_SIGNS = {
    State.CHECKING: ":mag:",
    State.PENDING: ":warning:",
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
        section(f"> {literal(request.reason, REASON_SHOWN)}", ids.QUOTED_REASON),
        _order(request, facts),
        _consequence(request, facts),
        _explanation(request, facts),
        _approvals(request),
        _row(ids.BUTTONS, _to_decide(request, facts)),
        _row(ids.MORE_BUTTONS, _other_buttons(request, facts)),
        context(_foot(request), ids.FOOT),
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
            undone = "" if facts.reversible else " and cannot be undone"
            says = f"*This cancels an order{undone}.* {tally(request)} approvals so far."
        case State.APPROVED if request.held:
            says = f"*On hold:* {on_hold(request.held)} Nothing is sent meanwhile."
        case State.APPROVED:
            says = f"*Approved by {people(a.by for a in request.counted)}.* About to cancel …"
        case State.EXECUTING:
            says = f"*Cancelling at {at} now …*"
        case _:
            says = now(request)
    return f"{_SIGNS.get(request.state, ':no_entry_sign:')} {says}"


def _wish(request: Request, facts: Facts) -> str:
    who = mention(request.requester.user)
    if request.state in BEFORE_PERMIT:
        return f"{who} asks to cancel this order, because:"  # which order it is has a line of its own
    return f"{who} asked to cancel {the_order(request, facts)}:"


def _order(request: Request, facts: Facts) -> Block | None:
    """Before the cancel: which order, and what the provider says it is. Later: as it was before."""
    order = request.order
    if request.state in BEFORE_PERMIT:
        where = f", account {account_of(request)}" if request.account else ""
        which = f"*Order:* {the_order(request, facts)}{where}"
        return section("\n".join([which, *([_provider_says(order, facts)] if order else [])]), ids.ORDER)
    known = order_facts(order) if order else ""
    return section(f"*As it was before:* {known}", ids.ORDER) if known else None


def _provider_says(order: OrderState, facts: Facts) -> str:
    known = order_facts(order, FACT_SHOWN, FACTS_SHOWN, rest="more in *Details*")
    return " ".join(filter(None, [order_status(order, facts), known]))


def _consequence(request: Request, facts: Facts) -> Block | None:
    if request.state not in {State.PENDING, State.APPROVED}:
        return None
    lines = [f"*If cancelled:* {sentence(literal(facts.consequence))}"]
    if warnings := all_warnings(request, facts):
        more = len(warnings) - 1
        others = f" {more} more in *Details*." if more else ""
        lines.append(f"Warning: {sentence(literal(warnings[0], WARNING_SHOWN))}{others}")
    return section("\n".join(lines), ids.CONSEQUENCE)


def _explanation(request: Request, facts: Facts) -> Block | None:
    text = explanation(request, facts)
    return section(text, ids.EXPLANATION) if text else None


def _approvals(request: Request) -> Block | None:
    if request.state is State.PENDING:
        return section(_so_far(request), ids.APPROVALS)
    if request.state is State.NEEDS_PERSON or (request.state is State.APPROVED and not request.held):
        return None  # the first line names them; where somebody has to look, *Details* does
    with_times = listing([f"{mention(a.by.user)} ({when(a.at)})" for a in request.counted])
    return section(f"*Approved by* {with_times}", ids.APPROVALS) if with_times else None


def _so_far(request: Request) -> str:
    so_far = listing([_approval(approval) for approval in request.approvals]) or "nobody"
    more = " more" if request.counted else ""
    called = f" {named(request.escalation)} may decide too." if request.escalated else ""
    until = when(request.expires_at)
    return f"*Approved so far:* {so_far}. {missing(request)}{more} needed until {until}.{called}"


def _approval(approval: Approval) -> str:
    return mention(approval.by.user) + ("" if approval.verified else " (being checked, does not count yet)")


def _foot(request: Request) -> str:
    permit = None if request.state in BEFORE_PERMIT else request.permit
    ended = request.ended_at
    parts = [
        f"Asked {when(request.created_at)}",
        f"{questions(len(request.questions))} in the thread" if request.questions else "",
        f"Cancel started {when(permit.at)}" if permit else "",
        f"Ended {when(ended)}" if ended else "",
        f"Account {account_of(request)}" if request.account and request.state not in BEFORE_PERMIT else "",
        f"Request {code(request.short_id)}",
    ]
    return " · ".join(filter(None, parts))


def _in_words(request: Request, facts: Facts) -> str:
    """The card in two sentences, for a notification or a screen reader."""
    who = mention(request.requester.user)
    asks = "asks" if request.state in BEFORE_PERMIT else "asked"
    reason = f"Reason: {sentence(literal(request.reason, 600))}"
    more = reason if request.state in BEFORE_PERMIT else explanation(request, facts).replace("\n> ", " ")
    risk = "" if facts.reversible or request.state not in BEFORE_PERMIT else f"{CANNOT_BE_UNDONE} "
    state = f"{risk}State: {word(request.state)}{_beside_the_state(request)}."
    return f"{who} {asks} to cancel {the_order(request, facts)}. {state} {more}".replace("\n", " · ").rstrip()


def _beside_the_state(request: Request) -> str:
    if request.state is State.PENDING:
        return f" ({tally(request)} so far)"
    held = request.state is State.APPROVED and request.held
    return ", on hold" if held else found_by_people(request)


# --- what can be pressed ----------------------------------------------------------------------------


def _row(block_id: str, buttons: list[Block]) -> Block | None:
    return {"type": "actions", "block_id": block_id, "elements": buttons} if buttons else None


def _to_decide(request: Request, facts: Facts) -> list[Block]:
    """What most people come for, in a row of its own."""
    if request.state is State.NEEDS_PERSON:
        return _to_close(request, facts)
    if request.state is State.PENDING or (request.state is State.APPROVED and request.held):
        if waits_for_a_resume(request):
            return [_deny(request, facts)]
        return [_approve(request, facts), _deny(request, facts)]  # held for want of approvals, perhaps
    return [_deny(request, facts)] if request.state is State.APPROVED else []


def _other_buttons(request: Request, facts: Facts) -> list[Block]:
    """What else can be done in this state. *Details* always can."""
    stop: list[Block] = []
    if request.state in BEFORE_PERMIT:
        if request.state is not State.CHECKING:
            stop.append(_button(ids.ASK, "Ask a question", request.id, request, facts))
        if request.approvals:
            stop.append(_button(ids.TAKE_BACK, "Take back my approval", request.id, request, facts))
        stop.append(_withdraw(request, facts))
    if request.state in CALLED_OFF:
        stop.append(_button(ids.ASK_AGAIN, "Ask again", request.id, request, facts))
    return [*stop, _button(ids.DETAILS, "Details", request.id, request, facts)]


def decision_buttons(request: Request, facts: Facts) -> list[Block]:
    """To decide on it elsewhere than on its card."""
    details = _button(ids.DETAILS, "Details", request.id, request, facts)
    return [_approve(request, facts), _deny(request, facts), details]


def _approve(request: Request, facts: Facts) -> Block:
    undone = "" if facts.reversible else CANNOT_BE_UNDONE
    question = _confirm("Approve this cancellation?", _repeat(request, facts, undone), "Approve cancellation")
    button = _button(ids.APPROVE, "Approve cancellation", f"{request.id}:{digest(request)}", request, facts)
    return {**button, "style": "danger", "confirm": {**question, "style": "danger"}}


def _deny(request: Request, facts: Facts) -> Block:
    """No dialog of its own: it opens a form that repeats the order and asks why."""
    return _button(ids.DENY, "Deny", request.id, request, facts)


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
    """Order, what, and of the evidence as much as a dialog has room for. The card has all of it, and names
    who found it, as plain text cannot."""
    order = the_order_plain(request, facts, 220)
    said = f"{order}. Somebody else found: {FINDINGS[closing.finding]}."
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
    return [*named, *(f"{name} {value}" for name, value in order.facts[:FACTS_SHOWN])]


def _repeat(request: Request, facts: Facts, last: str) -> str:
    """The order for a dialog; first what it must not lack, then what there is room for."""
    order = the_order_plain(request, facts, 230)
    known = ", ".join(_known(request.order)) if request.order else ""
    room = CONFIRM_MAX - len(order) - len(last) - len(" ().  ")
    named = f" ({plain(known, room)})" if known and room > 10 else ""
    return f"{order}{named}. {last}".rstrip()
