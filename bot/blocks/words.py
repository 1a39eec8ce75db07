"""The words of the states, and the sentences that card, thread and direct message share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bot.blocks.pauses import on_hold
from bot.blocks.text import code, literal, mention, mention_group, plain, quote, sentence, when
from bot.model import BEFORE_PERMIT, ENDED, WORDS, Finding, Person, Request, State
from providers.contract import Facts, OrderState, Result, Standing

FINDINGS = {
    Finding.CANCELLED: "cancelled at the provider",
    Finding.NOT_CANCELLED: "not cancelled, still as it was",
    Finding.CANNOT_BE_FOUND_OUT: "cannot be found out",
}
"""What people may have found, as they choose it."""

_PEOPLE_FOUND = {
    Finding.CANCELLED: "people found it cancelled at the provider",
    Finding.NOT_CANCELLED: "people found it not cancelled, still as it was",
    Finding.CANNOT_BE_FOUND_OUT: "people could not find out what became of it",
}
"""The same of a closed request: that nobody takes it for the provider's word."""

DENIALS = {
    "wrong_order": "Wrong order",
    "not_agreed": "Not agreed",
    "too_late": "Too late to be useful",
    "ask_first": "Ask me first",
    "other": "Something else",
}
"""Reasons for a denial that are one tap on a phone. The last one has to be put into words."""

CLOSE = "Close with what you found"
"""The button under a request that needs a person."""

EVIDENCE_MAX = 2000
"""Room for quoted evidence, after escaping: beside it a section says more than beside a reason."""

MENTIONED_AT_MOST = 100
NAMED_AT_MOST = 15
FACTS_AT_MOST = 8

_SCHEME = re.compile(r"https?://", re.ASCII)


def word(state: State) -> str:
    return WORDS[state]


def in_words(request: Request) -> str:
    """The word for its state; of one that people have closed also what they found."""
    return word(request.state) + found_by_people(request)


def now(request: Request) -> str:
    """Where it stands: "Outcome: *cancelled*" once decided for good, "Now: *…*" until then."""
    begin = "Outcome" if request.state in ENDED else "Now"
    return f"{begin}: *{word(request.state)}*{found_by_people(request)}"


def found_by_people(request: Request) -> str:
    """What goes behind the word of a closed request; empty in every other state."""
    if request.state is not State.CLOSED or request.closing is None:
        return ""
    return f": {_PEOPLE_FOUND[request.closing.finding]}"


# --- the order and the people -----------------------------------------------------------------------


def the_order(request: Request, facts: Facts) -> str:
    """Provider, kind of reference and reference, such as "DigiCert order ID `123`"."""
    account = f" ({literal(request.account_name, 40)})" if request.account_name else ""
    name = literal(_in_a_sentence(facts.reference_label), 60)
    return f"{label(facts)}{account} {name} {code(request.reference)}"


def the_order_plain(request: Request, facts: Facts, limit: int) -> str:
    """The same without formatting."""
    account = f" ({request.account_name})" if request.account_name else ""
    name = f"{facts.label}{account} {_in_a_sentence(facts.reference_label)} {request.reference}"
    return plain(name, limit)


def label(facts: Facts) -> str:
    return literal(facts.label, 60)


def people(persons: Iterable[Person]) -> str:
    return listing([mention(person.user) for person in persons])


def listing(parts: Sequence[str]) -> str:
    """Parts in a sentence: "a", "a and b", "a, b and c"."""
    left = len(parts) - NAMED_AT_MOST
    named = [*parts[:NAMED_AT_MOST], f"{left} more"] if left > 0 else parts
    return " and ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))


def call(ids: Iterable[str], *, but: Iterable[str] = ()) -> str:
    """Mention people and user groups, so that they are notified. Ends in a space, or is empty."""
    left_out = set(but)
    called = [one for one in ids if one not in left_out][:MENTIONED_AT_MOST]
    return "".join(f"{mention_any(one)} " for one in called)


def mention_any(one: str) -> str:
    """A person, a user group, or whoever is on call by a source outside Slack."""
    source, colon, schedule = one.partition(":")
    if colon:
        return f"whoever is on call in the {literal(source, 20)} schedule {literal(schedule, 30)},"
    return mention_group(one) if one.startswith("S") else mention(one)


def who_may(request: Request) -> str:
    """Those who may decide on a request, as a listing; not the requester, who may not."""
    return named(one for one in request.may_decide if one != request.requester.user)


def named(ids: Iterable[str]) -> str:
    """People and user groups in a listing."""
    return listing([mention_any(one) for one in ids])


def tally(request: Request) -> str:
    return f"{len(request.counted)} of {request.quorum}"


def approvals(count: int) -> str:
    return f"{count} approval" if count == 1 else f"{count} approvals"


def questions(count: int) -> str:
    return f"{count} question" if count == 1 else f"{count} questions"


def missing(request: Request) -> int:
    return max(request.quorum - len(request.counted), 0)


# --- the provider -----------------------------------------------------------------------------------


def order_status(order: OrderState, facts: Facts, says: str = "says") -> str:
    """What the provider says the order is, in a sentence or two; `says`: or what it said."""
    detail = sentence(literal(order.detail))
    if order.standing is Standing.UNREADABLE:
        return f"*{label(facts)} could not be asked:* {detail or 'no reason is known.'}"
    status = literal(order.status, 80)
    said = " ".join(filter(None, [f"status {code(order.status, 80)}." if status else "", detail]))
    return f"*{label(facts)} {says}:* {said or 'nothing about its status.'}"


def account_of(request: Request) -> str:
    """The provider's account, as an address that no client makes a link of."""
    return literal(_SCHEME.sub("", request.account), 200)


def all_warnings(request: Request, facts: Facts) -> list[str]:
    """What to think of before approving, the most pressing first."""
    order, sent = request.order, request.outcome if request.state in BEFORE_PERMIT else None
    earlier = [f"an earlier attempt did not cancel it, as far as is known. {sent.said}"] if sent else []
    return [*(_doubt(order) if order else []), *earlier, *(order.warnings if order else ()), *facts.warnings]


def _doubt(order: OrderState) -> list[str]:
    if order.standing is Standing.UNREADABLE:
        return ["nobody has seen this order. Check it yourself before you approve."]
    if order.standing is Standing.UNCLEAR:
        return ["it is not clear whether this order can be cancelled."]
    return []


def order_facts(
    order: OrderState, room: int = 200, most: int = FACTS_AT_MOST, rest: str = "more not shown"
) -> str:
    """Label and value pairs in one line, each cut by itself so that none hides the next."""
    is_new = order.known_as and order.known_as not in {value for _, value in order.facts}
    known_as = [f"*{literal(order.known_as, room)}*"] if is_new else []
    known = [(name, value) for name, value in order.facts if value != order.status]
    pairs = [f"{literal(name, 40)}: {literal(value, room)}" for name, value in known[:most]]
    more = len(known) - len(pairs)
    return " · ".join([*known_as, *pairs, *([f"{more} {rest}"] if more else [])])


def explanation(request: Request, facts: Facts) -> str:
    """What a state means and what it rests on; empty where the state says it all."""
    at = label(facts)
    match request.state:
        case State.CANCELLED:
            return _said(request) or f"At {at} this means: {sentence(literal(facts.success_means))}"
        case State.ALREADY_CANCELLED:
            return _already_cancelled(request, facts)
        case State.ACCEPTED:
            return _join(_said(request), "It is looked up until that is certain.")
        case State.UNKNOWN:
            waiting = "The order is being looked up; nothing is sent again until it is known."
            return _join(f"It is not known whether {at} cancelled the order.", _said(request), waiting)
        case State.NEEDS_PERSON:
            return _needs_person(request, facts)
        case State.CLOSED:
            return _closed(request, facts)
        case State.REFUSED:
            return _join(_said(request), "This request did not cancel the order.")
        case State.FAILED:
            return _said(request)
        case State.NOT_CANCELLABLE if request.order:
            return _join(order_status(request.order, facts), _sent(request, facts))
        case State.DENIED if request.decided_by:
            denied = f"{mention(request.decided_by.user)} denied it:\n{quote(request.decision)}\n"
            return denied + _sent(request, facts)
        case State.WITHDRAWN if request.decided_by:
            return _join(f"{mention(request.decided_by.user)} took it back.", _sent(request, facts))
        case State.EXPIRED:
            return _expired(request, facts)
        case _:
            return ""


def _needs_person(request: Request, facts: Facts) -> str:
    at = label(facts)
    happened = _join(
        "It could not be found out what became of the cancel: the order may or may not be cancelled.",
        _said(request),
        "Nothing more is sent, and nothing is looked up any more.",
    )
    if request.closing is None:
        task = (
            f"*What to do:* look at the order on {at}'s own pages, then press *{CLOSE}* on the card. "
            "It takes two people who may approve, not the one who asked: one says what they found, "
            "another one looks as well and confirms it."
        )
    else:
        task = f"{found(request)}*What to do:* somebody else looks as well, and confirms it on the card."
    return f"{happened}\n{task}"


def _closed(request: Request, facts: Facts) -> str:
    confirmed = request.closing.confirmed_by if request.closing else None
    by = f"{mention(confirmed.user)} confirmed it. " if confirmed else ""
    said = f"This is what people found; {label(facts)} has not confirmed it to the bot."
    is_cancelled = request.closing is not None and request.closing.finding is Finding.CANCELLED
    again = "" if is_cancelled else "The order can be asked for anew."
    return f"{found(request)}{by}{_join(said, _said(request), again)}"


def found(request: Request) -> str:
    """Who says what about an order that needs a person, and why; ends a line."""
    closing = request.closing
    if closing is None:
        return ""
    who, what = mention(closing.by.user), FINDINGS[closing.finding]
    evidence = quote(closing.evidence, EVIDENCE_MAX)
    return f"{who} looked at the order and said {when(closing.at)}: *{what}*.\n{evidence}\n"


def _already_cancelled(request: Request, facts: Facts) -> str:
    if request.outcome and request.outcome.result is Result.ALREADY_CANCELLED:
        return _said(request)
    detail = sentence(literal(request.order.detail)) if request.order else ""
    ours = "It may have been that attempt that cancelled it." if request.attempts else ""
    return _join(f"{label(facts)} says that the order is cancelled.", detail, _sent(request, facts), ours)


def _said(request: Request) -> str:
    """What the answer was, in a sentence; without an answer, what happened instead of one."""
    outcome = request.outcome
    if outcome is None or not outcome.said:
        return ""
    answered = outcome.result not in {Result.NO_EFFECT, Result.UNKNOWN}
    return f"{'' if answered else 'What happened: '}{sentence(literal(outcome.said))}"


def _sent(request: Request, facts: Facts) -> str:
    if request.attempts == 0:
        return f"Nothing was sent to {label(facts)}."
    happened = sentence(literal(request.outcome.said)) if request.outcome else ""
    tried = when(request.permit.at) if request.permit else "before that"
    return _join(f"A cancel was tried {tried}.", happened)


def _expired(request: Request, facts: Facts) -> str:
    if missing(request):
        why = f"Only {tally(request)} approvals by {when(request.expires_at)}."
    else:
        held = f" It was on hold: {on_hold(request.held)}" if request.held else ""
        why = f"It was approved, but could not be carried out by {when(request.expires_at)}.{held}"
    again = "*What to do:* if the order is still to be cancelled, ask again with `/cancel-order`."
    return f"{_join(why, _sent(request, facts))}\n{again}"


def _join(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _in_a_sentence(name: str) -> str:
    """In lower case where it is a word: "Order ID" becomes "order ID", "ID" stays."""
    return name[:1].lower() + name[1:] if name[1:2].islower() else name
