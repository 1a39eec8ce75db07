"""`requests`: what was asked for, and what became of it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bot.batch.rules import Batch, batch_digest
from bot.blocks.batch_words import in_numbers
from bot.blocks.words import FINDINGS, in_words
from bot.cli import evidence
from bot.cli.console import FAILED, OK, Commands, as_json, complain, count, opened, say
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
    Escalated,
    Event,
    FollowedUp,
    Held,
    Interrupted,
    OrderRead,
    Permitted,
    PersonCalled,
    Questioned,
    QuorumReached,
    Requested,
    Withdrawn,
)
from bot.logs import one_line
from bot.model import Request, State, digest
from bot.store import Unit


def add(commands: Commands) -> None:
    requests = commands.add_parser("requests", help="what was asked for").add_subparsers(
        required=True, metavar="WHAT"
    )
    listing = requests.add_parser("list", help="the newest requests first")
    listing.add_argument("--state", choices=[state.value for state in State])
    listing.add_argument("--limit", type=count, default=50)
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(command=_list)
    show = requests.add_parser("show", help="one request and its history")
    show.add_argument("id", help="the request's ID, or the beginning of it")
    show.add_argument("--json", action="store_true")
    show.add_argument("--evidence", metavar="FILE", type=Path, help="write a page for an auditor, as HTML")
    show.set_defaults(command=_show)


def _list(given: argparse.Namespace) -> int:
    states = [given.state] if given.state else []
    with opened() as store:
        found = store.read_now(lambda unit: unit.requests(states=states, limit=given.limit, with_lines=True))
    if given.json:
        say(as_json([_plain(request) for request in found]))
        return OK
    for request in found:
        say(one_line(_row(request)))
    return OK


def _row(request: Request) -> str:
    return (
        f"{request.id[:8]}  {request.created_at:%Y-%m-%d %H:%M}  {request.provider:<13} "
        f"{request.reference:<24} {request.requester.user:<12} "
        f"{len(request.counted)}/{request.quorum}  {in_words(request)}"
        f"{f' (in {request.batch[:8]})' if request.batch else ''}"
    )


def _show(given: argparse.Namespace) -> int:
    prefix = given.id.lower().lstrip("#")
    if given.evidence:
        return evidence.write(prefix, given.evidence)
    with opened() as store:
        found = store.read_now(lambda unit: unit.find(prefix) if prefix else [])
        together = store.read_now(lambda unit: _together(unit, prefix))
        if together and not found:
            return _show_together(*together, as_text=not given.json)
        if len(found) != 1 or together:
            complain(evidence.SEVERAL if found else evidence.NONE, FAILED)
        history = store.read_now(lambda unit: unit.history(found[0].id))
    if given.json:
        events = [{"at": at.isoformat(), **asdict(event)} for event, at in history]
        say(as_json({**_plain(found[0]), "events": events}))
        return OK
    for line in (*_facts(found[0]), "", *(_told(event, f"{at:%Y-%m-%d %H:%M:%S}") for event, at in history)):
        say(one_line(line))
    return OK


def _together(unit: Unit, prefix: str) -> tuple[Batch, list[Request]] | None:
    """What was asked for under this ID in one request for several orders."""
    found = unit.find_batches(prefix) if prefix else []
    return (found[0], unit.lines_of(found[0])) if len(found) == 1 else None


def _show_together(batch: Batch, lines: list[Request], *, as_text: bool) -> int:
    """All lines of one request for several orders; each has its history under its own ID."""
    asked, numbers = batch.asked, in_numbers(lines)
    if not as_text:
        whole = {**asdict(batch), "word": numbers, "digest": batch_digest(batch, lines)}
        say(as_json({**whole, "lines": [_plain(line) for line in lines]}))
        return OK
    told = [
        f"Request    {batch.id}",
        f"Orders     {len(lines)} at {asked.provider}",
        f"Outcome    {numbers}",
        f"Requester  {asked.requester.user}",
        f"Reason     {asked.reason}",
        f"Expires    {asked.expires_at:%Y-%m-%d %H:%M:%S} UTC",
        f"Digest     {batch_digest(batch, lines)}",
        "",
        *map(_row, lines),
    ]
    for line in told:
        say(one_line(line))
    return OK


def _facts(request: Request) -> list[str]:
    """What there is to know about a request now, a line each."""
    outcome = request.outcome
    by = ", ".join(f"{a.by.user}{'' if a.verified else ' (not confirmed yet)'}" for a in request.approvals)
    return [
        f"Request    {request.id}",
        f"Order      {request.provider} {request.reference}",
        f"Outcome    {in_words(request)}",
        *([f"On hold    {request.held}"] if request.held else []),
        f"Requester  {request.requester.user}",
        f"Reason     {request.reason}",
        f"Approvals  {len(request.counted)} of {request.quorum}{f': {by}' if by else ''}",
        *([f"Decided by {request.decided_by.user}: {request.decision}"] if request.decided_by else []),
        f"Attempts   {request.attempts}",
        *([f"Provider   {outcome.result}: {outcome.said}"] if outcome else []),
        *_found(request),
        *([f"Together   in {request.batch}"] if request.batch else []),
        f"Expires    {request.expires_at:%Y-%m-%d %H:%M:%S} UTC",
        f"Digest     {digest(request)}",
    ]


def _found(request: Request) -> list[str]:
    """What people found out where the bot could not."""
    closing = request.closing
    if closing is None:
        return []
    by = closing.confirmed_by.user if closing.confirmed_by else "nobody yet"
    found = f"Found      {closing.by.user}: {FINDINGS[closing.finding]}: {closing.evidence}"
    return [found, f"Confirmed  {by}"]


def _told(event: Event, at: str) -> str:
    return f"{at}  {event.kind.replace('_', ' '):<17}  {_details(event)}".rstrip()


def _details(event: Event) -> str:
    """Who it was and what they said."""
    match event:
        case Requested(requester=who, reason=why) | Denied(by=who, reason=why):
            return f"{who.user}: {why}"
        case Approved(by=who, verified=False):
            return f"{who.user} (not confirmed yet)"
        case Approved(by=who, why=why) | ApprovalVerified(by=who, why=why) | ApprovalVoided(by=who, why=why):
            return f"{who.user} ({why})"
        case AttemptRefused(by=who, action=action, rule=rule):
            return f"{who.user} tried to {action} ({rule})"
        case Questioned(by=who, question=question):
            return f"{who.user}: {question}"
        case Withdrawn(by=who) | ApprovalTakenBack(by=who):
            return who.user
        case OrderRead(order=order):
            return f"{order.standing.replace('_', ' ')}: {order.status} {order.detail}".rstrip(": ")
        case Permitted(attempt=attempt):
            return f"attempt {attempt}"
        case Answered(outcome=outcome) | FollowedUp(outcome=outcome):
            return f"{outcome.result.replace('_', ' ')}: {outcome.said}"
        case Held(why=why) | PersonCalled(why=why):
            return why
        case ClosingProposed(by=who, finding=finding, evidence=evidence):
            return f"{who.user} found: {FINDINGS[finding]}: {evidence}"
        case Closed(by=who, finding=finding):
            return f"{who.user} found the same: {FINDINGS[finding]}"
        case Escalated() | QuorumReached() | Interrupted() | _:
            return ""


def _plain(request: Request) -> dict[str, Any]:
    """A request with what is worked out from it."""
    return {**asdict(request), "word": in_words(request), "digest": digest(request)}
