"""Several orders at once: everything about them page by page, and the forms behind the card's buttons."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from bot.batch.rules import Batch, batch_digest, is_done, stoppable
from bot.blocks import ids
from bot.blocks.batch_card import button
from bot.blocks.batch_words import counts, in_numbers, numbered, orders, these, whole
from bot.blocks.cards import CANNOT_BE_UNDONE
from bot.blocks.details import AS_IT_WAS
from bot.blocks.forms import denial_inputs, question_input, question_note
from bot.blocks.pauses import on_hold
from bot.blocks.text import Block, code, context, literal, mention, plain_text, quote, section, sentence, when
from bot.blocks.words import all_warnings, approvals, in_words, order_facts, order_status, the_order, who_may
from bot.model import BEFORE_PERMIT, Request, State
from providers.contract import Facts

LINES_A_PAGE = 20


def batch_details(batch: Batch, lines: Sequence[Request], facts: Facts, page: int = 0) -> Block:
    """Every line with all that is known about it, `LINES_A_PAGE` at a time."""
    last = (len(lines) - 1) // LINES_A_PAGE
    page = min(max(page, 0), last)
    first = page * LINES_A_PAGE
    bound = f"An approval is bound to all lines as they are now: {code(batch_digest(batch, lines))}"
    blocks = [
        section(whole(_about(batch, lines, facts)), "about"),
        section(quote(batch.asked.reason), "reason"),
        *(
            section(_all_of(number, line, batch, facts), f"line-{number}")
            for number, line in enumerate(lines[first : first + LINES_A_PAGE], first + 1)
        ),
        *_turn(batch, page, last),
        context(f"Request {code(batch.id)}. {bound}", ids.FOOT),
    ]
    return {
        "type": "modal",
        "callback_id": ids.DETAILS_VIEW,
        "title": plain_text(f"Details {page + 1} of {last + 1}" if last else "Details"),
        "close": plain_text("Close"),
        "blocks": blocks,
    }


def _about(batch: Batch, lines: Sequence[Request], facts: Facts) -> list[str]:
    """What is the same for every line; who may decide only while there is something to decide on."""
    undone = "" if facts.reversible else f" *{CANNOT_BE_UNDONE}*"
    who = (
        f"*Who may approve or deny:* {who_may(lines[0])}, and never the person who asked. "
        f"{approvals(batch.asked.quorum)} before {when(batch.asked.expires_at)}."
    )
    return [
        f"{mention(batch.requester.user)} asked to cancel {these(batch, facts)}, {when(batch.created_at)}.",
        f"*{'Outcome' if is_done(counts(lines)) else 'So far'}:* {in_numbers(lines)}.",
        f"*If cancelled:* {sentence(literal(facts.consequence))}{undone}",
        f"*A success means:* {sentence(literal(facts.success_means))}",
        f"*Possible:* {sentence(literal(facts.limits))}",
        who if stoppable(lines) else "",
        *(f"Warning: {sentence(literal(one, 200))}" for one in facts.warnings),
    ]


def _all_of(number: int, line: Request, batch: Batch, facts: Facts) -> str:
    order, is_past = line.order, line.state not in BEFORE_PERMIT
    own = [warning for warning in all_warnings(line, facts) if warning not in facts.warnings]
    said = [
        f"*{number}.* {the_order(line, facts)}: *{in_words(line)}*, request {code(line.short_id)}",
        f"Because: {literal(line.reason, 300)}" if line.reason != batch.asked.reason else "",
        f"On hold: {on_hold(line.held)}" if line.held and line.state is State.APPROVED else "",
        sentence(literal(line.outcome.said)) if line.outcome else "",
        AS_IT_WAS if order and is_past else "",
        order_status(order, facts, "said" if is_past else "says") if order else "",
        order_facts(order, 100, 10) if order else "",
        *(f"Warning: {sentence(literal(one, 200))}" for one in own),
    ]
    return whole(said)


def _turn(batch: Batch, page: int, last: int) -> Iterator[Block]:
    turns = [("Previous page", page - 1)] if page else []
    turns += [("Next page", page + 1)] if page < last else []
    if turns:
        buttons = [
            {
                **button(ids.BATCH_PAGE, text, f"{batch.id}-{to}", batch),
                "action_id": f"{ids.BATCH_PAGE}.{to}",
            }
            for text, to in turns
        ]
        yield {"type": "actions", "block_id": ids.BUTTONS, "elements": buttons}


def batch_deny_form(batch: Batch, lines: Sequence[Request], facts: Facts) -> Block:
    """Asks why; repeats what is denied."""
    before = stoppable(lines)
    return {
        "type": "modal",
        "callback_id": ids.BATCH_DENY_FORM,
        "private_metadata": json.dumps({"button": batch.id}),
        "title": plain_text("Deny cancellations"),
        "submit": plain_text("Deny"),
        "close": plain_text("Go back"),
        "blocks": [
            *_what_is_asked(batch, facts),
            section(numbered(before, batch.asked.reason, "more"), ids.LINE_LIST),
            *denial_inputs(),
            context(f"One denial ends {orders(len(before))}, and nothing is sent for them.", ids.FOOT),
        ],
    }


def batch_question_form(batch: Batch, facts: Facts) -> Block:
    """Takes a question about all or some of them; says who gets it, and that it stops nothing."""
    return {
        "type": "modal",
        "callback_id": ids.BATCH_QUESTION_FORM,
        "private_metadata": json.dumps({"button": batch.id}),
        "title": plain_text("Ask a question"),
        "submit": plain_text("Ask"),
        "close": plain_text("Go back"),
        "blocks": [
            *_what_is_asked(batch, facts),
            question_input(),
            context(question_note(batch.asked.expires_at), ids.FOOT),
        ],
    }


def _what_is_asked(batch: Batch, facts: Facts) -> list[Block]:
    return [
        section(f"{mention(batch.requester.user)} asks to cancel {these(batch, facts)}:", ids.HEAD),
        section(quote(batch.asked.reason), ids.QUOTED_REASON),
    ]
