"""The App Home: what waits for this person, what they asked for, what ended lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.batch.rules import Batch
from bot.blocks import ids
from bot.blocks.batch_card import decision_buttons as batch_buttons
from bot.blocks.batch_notices import batch_line, batch_question
from bot.blocks.cards import FACT_SHOWN, FACTS_SHOWN, decision_buttons
from bot.blocks.text import Block, code, context, literal, mention, plain_text, quote, section, when
from bot.blocks.words import in_words, label, order_facts, tally, the_order, word
from bot.model import ENDED, Request, State
from providers.contract import Facts

WAITING_AT_MOST = 15
LISTED_AT_MOST = 10
LISTS_AT_MOST = 5
"""Of several orders each."""
REASON_SHOWN = 150


@dataclass(frozen=True, slots=True)
class Overview:
    """What one person's Home tells."""

    waiting: Sequence[Request]
    """What they may decide on and have not, the oldest first; more than are shown, if there are more."""
    mine: Sequence[Request]
    recent: Sequence[Request]
    open_now: int
    """All requests that have not ended."""
    counts: Mapping[State, int]
    """Those of the last thirty days."""
    enabled: Sequence[Facts]
    several: Sequence[tuple[Batch, Sequence[Request]]] = ()
    """Several orders at once that they may decide on and have not, with their lines."""
    lately: Sequence[tuple[Batch, Sequence[Request]]] = ()
    """Several orders at once that they asked for."""
    ended: Sequence[tuple[Batch, Sequence[Request]]] = ()
    """Several orders at once, by anybody, of which nothing is open any more."""
    paused: Sequence[str] = ()
    """What nothing is sent to now, by whom and why, as markup."""
    held: Sequence[Request] = ()
    """Approved, not sent for some reason, and theirs to decide on."""
    several_held: Sequence[tuple[Batch, Sequence[Request]]] = ()
    """Several orders at once of which some are on hold."""


def home_view(overview: Overview, facts: Mapping[str, Facts]) -> Block:
    """The whole view. At most 15 requests with buttons and three lists: within Slack's 100 blocks."""
    return {
        "type": "home",
        "blocks": [
            {"type": "header", "block_id": "top", "text": plain_text("Orders to be cancelled")},
            {"type": "actions", "block_id": "start", "elements": [_start()]},
            *([section("\n".join(overview.paused), "paused")] if overview.paused else []),
            *_waiting(overview, facts),
            *_on_hold(overview, facts),
            *_listed("Your requests", "mine", overview.mine, facts, _lists(overview.lately, facts)),
            *_listed("Ended lately", "recent", overview.recent, facts, _lists(overview.ended, facts)),
            {"type": "divider", "block_id": "rule"},
            context(_counts(overview), "counts"),
            context(_providers(overview.enabled), "providers"),
        ],
    }


def _start() -> Block:
    return {"type": "button", "action_id": ids.START, "text": plain_text("Cancel an order")}


def _waiting(overview: Overview, facts: Mapping[str, Facts]) -> list[Block]:
    waiting, several = overview.waiting, overview.several
    blocks: list[Block] = [_heading("Waiting for you", "waiting")]
    if not waiting and not several:
        return [*blocks, context("Nothing waits for your decision.", "nothing-waiting")]
    for batch, lines in several[:LISTS_AT_MOST]:
        of = facts[batch.asked.provider]
        blocks += _to_do(batch.id, batch_question(batch, lines, of), batch_buttons(batch, lines, of))
    for request in waiting[:WAITING_AT_MOST]:
        of = facts[request.provider]
        blocks += _to_do(request.id, _question(request, of), decision_buttons(request, of))
    left = max(len(waiting) - WAITING_AT_MOST, 0) + max(len(several) - LISTS_AT_MOST, 0)
    more = f"{left} more: `/cancel-order pending` lists them." if left else ""
    return [*blocks, *([context(more, "more-waiting")] if more else [])]


def _to_do(name: str, text: str, buttons: list[Block]) -> list[Block]:
    return [
        section(text, f"ask-{name}"),
        {"type": "actions", "block_id": f"do-{name}", "elements": buttons},
    ]


def _on_hold(overview: Overview, facts: Mapping[str, Facts]) -> list[Block]:
    """Left out when nothing is."""
    if not overview.held and not overview.several_held:
        return []
    return _listed("On hold", "held", overview.held, facts, _lists(overview.several_held, facts))


def _lists(several: Sequence[tuple[Batch, Sequence[Request]]], facts: Mapping[str, Facts]) -> list[str]:
    shown = several[:LISTS_AT_MOST]
    return [batch_line(batch, lines, facts[batch.asked.provider]) for batch, lines in shown]


def _question(request: Request, facts: Facts) -> str:
    known = order_facts(request.order, FACT_SHOWN, FACTS_SHOWN) if request.order else ""
    lines = [
        f"*{the_order(request, facts)}*: {tally(request)} approvals, until {when(request.expires_at)}.",
        f"{mention(request.requester.user)} asks, because:\n{quote(request.reason, REASON_SHOWN)}",
        known,
        f"If cancelled: {literal(facts.consequence)}",
    ]
    return "\n".join(filter(None, lines))


def _listed(
    title: str,
    name: str,
    requests: Sequence[Request],
    facts: Mapping[str, Facts],
    several: Sequence[str] = (),
) -> list[Block]:
    alone = [_line(request, facts[request.provider]) for request in requests[:LISTED_AT_MOST]]
    left = len(requests) - len(alone)
    lines = [*several, *alone, *([f"{left} more: {code('/cancel-order pending')}"] if left else [])]
    if not lines:
        return [_heading(title, name), context("None.", f"{name}-none")]
    return [_heading(title, name), *(context(line, f"{name}-{n}") for n, line in enumerate(lines))]


def _line(request: Request, facts: Facts) -> str:
    at = when(request.ended_at or request.created_at)
    held = ", on hold" if request.state is State.APPROVED and request.held else ""
    return f"{the_order(request, facts)}: *{in_words(request)}{held}*, {at}, request `{request.short_id}`"


def _heading(text: str, name: str) -> Block:
    return {"type": "header", "block_id": f"{name}-heading", "text": plain_text(text)}


def _counts(overview: Overview) -> str:
    ended = (state for state in State if state in ENDED and overview.counts.get(state))
    told = [f"{overview.counts[state]} {word(state)}" for state in ended]
    return f"{overview.open_now} open. Ended within the last 30 days: {', '.join(told) or 'none'}."


def _providers(enabled: Sequence[Facts]) -> str:
    return f"Set up here: {', '.join(label(facts) for facts in enabled)}."
