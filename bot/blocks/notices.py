"""Private answers, direct messages, and the calls to those who must act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from bot.blocks import ids
from bot.blocks.cards import Message
from bot.blocks.ids import COMMAND
from bot.blocks.pauses import on_hold
from bot.blocks.text import (
    channel,
    code,
    context,
    is_link,
    literal,
    mention,
    quote,
    section,
    sentence,
    when,
)
from bot.blocks.words import (
    FINDINGS,
    approvals,
    call,
    explanation,
    found_by_people,
    in_words,
    label,
    listing,
    missing,
    now,
    people,
    tally,
    the_order,
    word,
)
from bot.model import BEFORE_PERMIT, ENDED, OPEN, Request, State
from providers.contract import Facts

TEXT_MAX = 3900

VERBS = {
    "help": "this page",
    "status <id>": "what became of one request",
    "mine": "the requests you made",
    "pending": "what waits for people, the oldest first",
    "history": "the requests that ended; add a provider, a member ID or `me` for some of them",
    "withdraw <id>": "take your own request back",
    "pause [provider] [reason]": "send nothing more to a provider, or to any; for approvers",
    "resume [provider]": "end a pause; for approvers",
    "simulate <provider>": "who could approve if you asked now",
}
"""Each verb as it is typed, and what it shows or does."""


# --- to the requester -------------------------------------------------------------------------------


def outcome_dm(request: Request, facts: Facts) -> Message | None:
    """What became of somebody's request; None while there is nothing for them to know."""
    if request.state not in ENDED | {State.ACCEPTED, State.NEEDS_PERSON}:
        return None
    explained = explanation(request, facts)
    approved = f"Approved by {people(a.by for a in request.counted)}. " if request.counted else ""
    blocks = [
        section(f"You asked to cancel {the_order(request, facts)}. {now(request)}.", ids.HEAD),
        *([section(explained, ids.EXPLANATION)] if explained else []),
        context(f"{approved}Request {code(request.short_id)} in {channel(request.channel)}.", ids.FOOT),
    ]
    spoken = f"Your request to cancel {the_order(request, facts)}: {in_words(request)}."
    return Message(spoken, blocks)


def asked_notice(request: Request, facts: Facts) -> str:
    """The private answer to a form that was sent."""
    return (
        f"Your request to cancel {the_order(request, facts)} is saved. The order is looked up first; if it "
        f"can be cancelled, it then needs {approvals(request.quorum)} by other people "
        f"in {channel(request.channel)} until {when(request.expires_at)}. Nothing is cancelled before that.\n"
        f"See {code(f'{COMMAND} status {request.short_id}')}, "
        f"or take it back with {code(f'{COMMAND} withdraw {request.short_id}')}."
    )


# --- to those who must act --------------------------------------------------------------------------


def card_call(request: Request, facts: Facts) -> str:
    """The first reply under a new card: the one time that everybody who may approve is notified."""
    called = call(request.may_decide, but=[request.requester.user])
    return (
        f"{called}Please decide whether to cancel {the_order(request, facts)}"
        f"{_what_it_is(request)}. Reason: {sentence(literal(request.reason, 150))} "
        "Approve or deny on the card of this thread. "
        f"It needs {approvals(request.quorum)} until {when(request.expires_at)}; "
        "the person who asked cannot approve."
    )


def _what_it_is(request: Request) -> str:
    """The first fact of the order, for a notification that shows a line."""
    facts = request.order.facts if request.order else ()
    return f" ({literal(facts[0][0], 40)}: {literal(facts[0][1], 80)})" if facts else ""


def reminder(request: Request, facts: Facts) -> str:
    """Notifies those who may still do something: approve, or find out what nobody knows."""
    if request.state is State.NEEDS_PERSON:
        return _still_needs_person(request, facts)
    done = [request.requester.user, *(a.by.user for a in request.approvals)]
    called = call(request.may_decide, but=done)
    needed = approvals(missing(request))
    return (
        f"{called}Reminder: the request to cancel {the_order(request, facts)} still needs {needed} "
        f"({tally(request)} so far). It expires {when(request.expires_at)}."
    )


def last_call(request: Request, facts: Facts) -> str:
    """Said once, some time before a request expires, to those who can still do something about it."""
    ends = f"expires {when(request.expires_at)}"
    if request.state is State.APPROVED:
        held = f" It is on hold: {on_hold(request.held)}" if request.held else ""
        who = call([request.requester.user])
        return (
            f"{who}The request to cancel {the_order(request, facts)} {ends} and has not been sent.{held} "
            "If it cannot be sent by then, it has to be asked for anew."
        )
    done = [request.requester.user, *(a.by.user for a in request.approvals)]
    return (
        f"{call(request.may_decide, but=done)}The request to cancel {the_order(request, facts)} {ends} and "
        f"still needs {approvals(missing(request))} ({tally(request)} so far). Approve or deny on the card "
        "of this thread. After that it has to be asked for anew."
    )


def _still_needs_person(request: Request, facts: Facts) -> str:
    done = [request.requester.user, *([request.closing.by.user] if request.closing else [])]
    called = f"{call(request.may_decide, but=done)}Reminder: {the_order(request, facts)} needs a person."
    if request.closing is None:
        return f"{called} Look at it on {label(facts)}'s own pages and say on the card what you found."
    said = f"{mention(request.closing.by.user)} found: *{FINDINGS[request.closing.finding]}*."
    return f"{called} {said} Somebody else has to look as well, and confirm it on the card."


# --- to whoever asks --------------------------------------------------------------------------------


def help_text(enabled: Sequence[Facts]) -> str:
    verbs = [f"• {code(f'{COMMAND} {verb}')}: {what}" for verb, what in VERBS.items()]
    providers = [
        f"• {code(facts.name)} {label(facts)}: {literal(facts.reference_label, 60)}, "
        f"{sentence(literal(facts.reference_form))}"
        for facts in enabled
    ]
    lines = [
        "*Cancel an order for good.* Nothing is sent before other people have approved.",
        f"• {code(COMMAND)}: open the form; *Several at once* there takes a list of orders",
        f"• {code(f'{COMMAND} <provider> <reference> [reason]')}: open the form filled in",
        *verbs,
        "*Providers*",
        *(providers or ["None is enabled."]),
    ]
    return _whole_lines(lines)


def status_text(request: Request, facts: Facts) -> str:
    """Everything somebody needs to know about one request."""
    asked = f"{mention(request.requester.user)} asked {when(request.created_at)}"
    lines = [
        f"{the_order(request, facts)}. {now(request)}.",
        _waiting_for(request),
        explanation(request, facts),
        f"{asked}: {sentence(literal(request.reason, 600))}",
        f"Request {code(request.short_id)} in {channel(request.channel)}.",
    ]
    return _whole_lines([line for line in lines if line])


def list_text(
    requests: Sequence[Request],
    facts_by_name: Mapping[str, Facts],
    title: str,
    more: str = "",
    several: Sequence[str] = (),
) -> str:
    """One line for each request, in the order given. `more`: what to type for the next page. `several`:
    lines that come first, about requests for several orders at once."""
    if not requests and not several:
        return f"*{literal(title)}*\nNone."
    lines = [_line(request, facts_by_name.get(request.provider)) for request in requests]
    rest = [f"There are more: {code(f'{COMMAND} {more}')}."] if more else []
    return _whole_lines([f"*{literal(title)}*", *several, *lines, *rest])


def unknown_provider(text: str, enabled: Sequence[Facts], what: str = "provider") -> str:
    """No such provider: the nearest one, and which there are. `what`: what else it could have been."""
    names = {spelling.lower(): facts.name for facts in enabled for spelling in (facts.name, facts.label)}
    names_in_code = [code(facts.name) for facts in enabled]
    known = f"Enabled: {listing(names_in_code)}." if enabled else "No provider is enabled."
    more = f"See {code(f'{COMMAND} help')}."
    return f"There is no {what} {code(text, 60)} here.{_did_you_mean(text, names)} {known} {more}"


def other_request(request: Request, link: str) -> str:
    """About an earlier or present request for the order that somebody asks for: on top of their form."""
    short = f"<{link}|request {request.short_id}>" if is_link(link) else f"request {code(request.short_id)}"
    if request.state in OPEN:
        return (
            f"*This order is being dealt with already*, in {short}: {word(request.state)}. Asked by "
            f"{mention(request.requester.user)} {when(request.created_at)}. A second request is not needed."
        )
    by = f" by {mention(request.decided_by.user)}" if request.decided_by else ""
    why = f"\n{quote(request.decision)}\n" if request.decision else " "
    proof = f"{sentence(literal(request.outcome.said))} " if request.outcome and request.outcome.said else ""
    ended = when(request.ended_at or request.created_at)
    return (
        f"*This order was asked for before*, in {short}: {word(request.state)}{by}, {ended}.{why}{proof}"
        "Send the form once more if it has to be asked again."
    )


def unknown_verb(text: str) -> str:
    """No such word: the nearest one, and where to find all."""
    verbs = {verb.split()[0]: verb for verb in VERBS}
    return (
        f"{code(text, 60)} is not something {code(COMMAND)} knows.{_did_you_mean(text, verbs)} "
        f"See {code(f'{COMMAND} help')}."
    )


def _waiting_for(request: Request) -> str:
    if request.state not in BEFORE_PERMIT:
        return f"Approved by {people(a.by for a in request.counted)}." if request.counted else ""
    held = f" On hold: {on_hold(request.held)}" if request.held else ""
    return f"{tally(request)} approvals; expires {when(request.expires_at)}.{held}"


def _line(request: Request, facts: Facts | None) -> str:
    order = the_order(request, facts) if facts else f"{literal(request.provider)} {code(request.reference)}"
    count = f" ({tally(request)})" if request.state is State.PENDING else found_by_people(request)
    held = ", on hold" if request.state is State.APPROVED and request.held else ""
    return (
        f"• {order}: *{word(request.state)}{held}*{count}, asked by {mention(request.requester.user)} "
        f"{when(request.created_at)}, request {code(request.short_id)}."
    )


def _did_you_mean(text: str, known: Mapping[str, str]) -> str:
    near = get_close_matches(text.strip().lower()[:60], known, n=1, cutoff=0.5)
    return f" Did you mean {code(known[near[0]])}?" if near else ""


def _whole_lines(lines: Sequence[str]) -> str:
    """As many whole lines as a message holds."""
    kept: list[str] = []
    for line in lines:
        if sum(map(len, kept)) + len(kept) + len(line) > TEXT_MAX:
            return "\n".join([*kept, "…"])
        kept.append(line)
    return "\n".join(kept)
