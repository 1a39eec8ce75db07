"""One request on one page: who saw what and when, under which rules, what came of it, and how to check it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bot import __version__
from bot.audit.dossier import Dossier, Step
from bot.audit.listed import in_summary, on_one_card, place_of, shown_on, told_of_list
from bot.audit.page import Markup, Part, card, code, html, page, pairs, table, tag
from bot.audit.words import order_in_words, outcome_in_words, told
from bot.blocks.cards import approval_card
from bot.blocks.details import details_view
from bot.blocks.words import in_words
from bot.events import (
    Answered,
    ApprovalTakenBack,
    ApprovalVerified,
    ApprovalVoided,
    Approved,
    AttemptRefused,
    Closed,
    ClosingProposed,
    Denied,
    Event,
    FollowedUp,
    Interrupted,
    OrderRead,
    Permitted,
    Questioned,
    Withdrawn,
)
from bot.model import Eligibility, Person, Request, State, closing_digest, digest
from providers.contract import Facts, OrderState

Decision = (
    Approved | Denied | Withdrawn | ApprovalTakenBack | ClosingProposed | Closed | Questioned | AttemptRefused
)

ANSWERS = {
    Eligibility.ELIGIBLE: "may approve",
    Eligibility.NOT_ELIGIBLE: "may not approve",
    Eligibility.CANNOT_TELL: "could not be told",
}


def evidence(about: Dossier, facts: Facts) -> str:
    """The page, from the history alone."""
    request = about.request
    title = f"Evidence about request {request.short_id}"
    return page(
        title,
        tag("h1", title),
        tag("p", f"{facts.label}, {facts.reference_label} ", code(request.reference), class_="small"),
        tag("p", tag("b", f"Outcome: {in_words(request)}."), " ", _in_short(about), class_="result"),
        _summary(about, facts),
        tag("h2", "What happened"),
        _timeline(about),
        tag("h2", "What each person saw, and decided"),
        *_decisions(about, facts),
        tag("h2", "The rules it was decided under"),
        _policy(about, facts),
        tag("h2", "What the provider was asked, and answered"),
        _provider(about, facts),
        tag("h2", "Its place in the history"),
        *_chain(about),
        tag("h2", "How to check this page"),
        _how(about),
    )


# --- at the top -------------------------------------------------------------------------------------


def _in_short(about: Dossier) -> Part:
    request = about.request
    approvers = ", ".join(approval.by.user for approval in request.counted)
    decided = f"Approved by {approvers}. " if approvers else "Nobody's approval counts. "
    if request.decided_by:
        decided += f"{request.decided_by.user} ended it. "
    permitted = ["No cancel was sent.", "One cancel was permitted.", "Two cancels were permitted."]
    # Without a permit only the loss of one makes a request need a person.
    is_lost = not request.attempts and request.state in {State.NEEDS_PERSON, State.CLOSED}
    lost = "A cancel was sent, and the record of its permit was lost."
    sent = lost if is_lost else permitted[request.attempts]
    return f"Asked for by {request.requester.user}. {decided}{sent}"


def _summary(about: Dossier, facts: Facts) -> Markup:
    request = about.request
    return pairs(
        [
            ("Request", code(request.id)),
            ("Order", [f"{facts.label} {facts.reference_label} ", code(request.reference)]),
            ("Account", f"{request.account_name} {request.account}".strip()),
            ("Asked", f"{_time(request.created_at)} by {_person(request.requester)}"),
            ("Reason", request.reason),
            ("Ended", _time(request.ended_at) if request.ended_at else "not yet"),
            *([] if about.on_list and not about.card else [("Card in Slack", place_of(about.card))]),
            *in_summary(about),
            ("History", [f"verified up to event {about.head.seq}, head ", code(about.head.hash)]),
        ]
    )


def _timeline(about: Dossier) -> Markup:
    rows = [(step.row.seq, step.at, told(step.event), in_words(step.after)) for step in about.steps]
    if about.on_list:
        rows += [(step.row.seq, step.at, told_of_list(step.event), "") for step in about.on_list.steps]
    shown = [(str(seq), _time(at), said, after) for seq, at, said, after in sorted(rows)]
    return table(("Event", "Time (UTC)", "What happened", "After that"), shown, class_="events")


# --- who saw what -----------------------------------------------------------------------------------


def _decisions(about: Dossier, facts: Facts) -> Iterator[Markup]:
    found = [step for step in about.steps if isinstance(step.event, Decision)]
    if not found:
        on_list = "Nothing changed this order; what was done on the list is told above."
        yield tag("p", on_list if about.on_list else "Nobody decided or tried anything.")
        return
    yield tag(
        "p",
        "Rebuilt from the events before each decision, as version "
        f"{__version__} of the bot puts it. People are shown by their Slack IDs and times in UTC.",
        class_="small",
    )
    for step in found:
        yield from _decision(step, about, facts)
    seen = found[-1].before
    if seen and not shown_on(about, seen):
        yield tag("h3", "Behind the button Details, at the last of these")
        yield card(details_view(seen, facts)["blocks"])


def _decision(step: Step, about: Dossier, facts: Facts) -> Iterator[Markup]:
    before = step.before
    yield tag("h3", f"{_time(step.at)}: {told(step.event)}")
    if before is None:
        return
    yield pairs(_about_the_decision(step, before, about))
    if there := shown_on(about, before):
        yield on_one_card(there, step)
        return
    yield card(approval_card(before, facts).blocks)


def _about_the_decision(step: Step, before: Request, about: Dossier) -> Iterator[tuple[str, Part]]:
    event = step.event
    yield "Event", str(step.row.seq)
    match event:
        case Approved(by, bound_to, verified, why):
            yield "Counts because" if verified else "Not counted yet", why
            yield from _later(by, step, about)
            what = "this order as it was on the list" if shown_on(about, before) else "this card"
            yield "Bound to", [code(bound_to), " ", _same(bound_to == digest(before), what)]
        case ClosingProposed(why=why):
            yield "Counts because", why
        case Closed(digest=bound_to, why=why):
            yield "Counts because", why
            yield (
                "Bound to",
                [code(bound_to), " ", _same(bound_to == closing_digest(before), "what was found")],
            )
        case AttemptRefused(rule=rule, why=why):
            yield "Refused by rule", code(rule)
            yield "They were told", why or "not recorded"
        case Denied(why=why):
            yield "Counts because", why or "not recorded"
        case _:
            pass


def _later(by: Person, approved: Step, about: Dossier) -> Iterator[tuple[str, Part]]:
    """What became of an approval."""
    for step in about.steps:
        if step.row.seq <= approved.row.seq:
            continue
        match step.event:
            case ApprovalVerified(person, why) if person == by:
                yield "Confirmed", f"{_time(step.at)}: {why}"
            case ApprovalVoided(person, why) | ApprovalTakenBack(person, why) if person == by:
                is_void = isinstance(step.event, ApprovalVoided)
                yield ("Void", f"{_time(step.at)}: {why}") if is_void else ("Taken back", _time(step.at))
                return
            case Permitted(attempt=attempt, judged=judged):
                for one in (one for one in judged if one.person == by):
                    yield (
                        f"Judged again, attempt {attempt}",
                        f"{_time(step.at)}: {ANSWERS[one.answer]}, {one.why}",
                    )
            case _:
                pass


def _same(is_same: bool, what: str) -> Markup:
    return html(f"(the hash of {what})") if is_same else tag("span", f"NOT the hash of {what}", class_="bad")


# --- the rules ----------------------------------------------------------------------------------------


def _policy(about: Dossier, facts: Facts) -> Markup:
    request = about.request
    started = about.started
    return pairs(
        [
            ("Approvals needed", f"{request.quorum} different people, none of them the requester"),
            ("Who could approve", ", ".join(request.approvers)),
            *_second_line(request),
            ("Until", _time(request.expires_at)),
            ("Where", f"Slack channel {request.channel} of workspace {request.team}"),
            ("What cancelling does", facts.consequence),
            ("What a success means", facts.success_means),
            (
                "Approvals are bound to",
                [code(digest(request)), " and to the whole list" * bool(about.on_list)],
            ),
            ("Bot at that time", f"version {started.get('version', 'unknown')}"),
            (
                "Its settings",
                [code(str(started.get("settings", "unknown"))), " (a hash of those that decide)"],
            ),
        ]
    )


def _second_line(request: Request) -> Iterator[tuple[str, Part]]:
    if request.escalation and request.escalate_at:
        yield "Second line", f"{', '.join(request.escalation)}, from {_time(request.escalate_at)} on"


# --- the provider -------------------------------------------------------------------------------------


def _provider(about: Dossier, facts: Facts) -> Markup:
    rows = [
        (str(step.row.seq), _time(step.at), asked, answered)
        for step in about.steps
        for asked, answered in _calls(step.event)
    ]
    if not rows:
        return tag("p", f"{facts.label} was not asked.")
    note = (
        "Credentials are never written into the history, and a reference that is a secret only as a "
        "fingerprint. In brackets: the class of the answer."
    )
    return html(
        [
            table(("Event", "Time (UTC)", "Asked", "Answered"), rows, class_="events"),
            tag("p", note, class_="small"),
        ]
    )


def _calls(event: Event) -> Iterator[tuple[Part, Part]]:
    match event:
        case OrderRead(order):
            yield "to show the order", _order(order)
        case Permitted(attempt=attempt, order=order):
            yield "to show the order, right before the cancel", _order(order)
            yield tag("b", f"to cancel it, attempt {attempt}"), "see below"
        case Answered(outcome=outcome):
            yield "the answer to that", outcome_in_words(outcome)
        case Interrupted():
            yield "the answer to that", "not known: the bot was interrupted"
        case FollowedUp(outcome):
            yield "to show the order, after the cancel", outcome_in_words(outcome)
        case _:
            pass


def _order(order: OrderState) -> Part:
    known = [f"{name}: {value}" for name, value in order.facts]
    named = [f"known as {order.known_as}"] if order.known_as else []
    return " · ".join([order_in_words(order), *named, *known, *order.warnings])


# --- the chain ----------------------------------------------------------------------------------------


def _chain(about: Dossier) -> Iterator[Markup]:
    yield tag(
        "p",
        "Each event as it is stored. Events of other requests lie in between, so the hash before is not "
        "always on this page.",
        class_="small",
    )
    of_the_list = [step.row for step in about.on_list.steps] if about.on_list else []
    for row in sorted([*(step.row for step in about.steps), *of_the_list]):
        yield tag(
            "div",
            tag("h3", f"Event {row.seq}: {row.kind}"),
            pairs([("Time", code(row.at)), ("Hash before", code(row.previous)), ("Hash", code(row.hash))]),
            tag("pre", row.body),
        )


def _how(about: Dossier) -> Markup:
    first = about.steps[0].row
    content = json.dumps([first.seq, first.request_id, first.at, first.kind, "…", first.previous])
    steps: list[Part] = [
        "This page proves nothing by itself: whoever can write a file can write this one. Its hashes tie it "
        "to the history.",
        [
            "Each hash above is the SHA-256 of ",
            code("[event, request, time, kind, body, hash before]"),
            f", written as JSON without spaces in UTF-8; the body is a text in it. Event {first.seq} begins ",
            code(content.split('"…"', maxsplit=1)[0].replace(", ", ",")),
            ".",
        ],
        [
            "Let somebody else export the history, ",
            code("python -m bot audit export --output history.jsonl"),
            ", check it, ",
            code("python -m bot audit verify --export history.jsonl"),
            ", and look these events up in it.",
        ],
        [
            "The message of the outcome in Slack carries ",
            code("audit_head"),
            ": number and hash of the newest event at that time. It has to be in the same export. ",
            code("python -m bot audit verify --channel"),
            " compares all of them.",
        ],
    ]
    return tag("ol", *(tag("li", step) for step in steps))


def _person(person: Person) -> str:
    return f"{person.user} (workspace {person.team})"


def _time(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
