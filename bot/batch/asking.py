"""What somebody typed as a list: checked line by line before anything is saved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot import typed
from bot.accounts import Account
from bot.admission import A_DAY_PER_ORDER, TELL_FOR, WORTH_KNOWING, shown
from bot.batch.rules import LINES_AT_MOST, Batch, Typed
from bot.blocks.words import word
from bot.errors import BadForm, SomeAskedBefore
from bot.events import Requested
from bot.model import reference_key
from bot.store import Unit
from providers.contract import Facts

PROBLEMS_TOLD = 8
"""Lines that are named when a list cannot be taken."""


@dataclass(frozen=True, slots=True)
class BatchAsk:
    """What somebody typed into the form for several orders."""

    provider: str
    text: str
    """One order a line."""
    reason: str
    origin: str = ""
    account: str = ""
    seen: str = ""
    """Stands for the earlier requests that the person was told about."""
    mark: str = ""
    """Stands for the form that was sent, which counts once."""


def check_list(account: Account, lines: Sequence[Typed], reason: str) -> None:
    """Raises `BadForm`, which names the lines."""
    if problem := typed.complaint("reason", reason):
        raise BadForm({"reason": problem})
    if not lines:
        raise BadForm({"reference": "Give at least one order, one per line."})
    if len(lines) > LINES_AT_MOST:
        raise BadForm(
            {"reference": f"These are {len(lines)} orders. Ask for {LINES_AT_MOST} at most at once."}
        )
    facts = account.facts
    problems = [problem for line in lines if (problem := _wrong_with(line, facts))]
    first: dict[str, int] = {}
    for line in lines:
        if (number := first.setdefault(line.reference, line.number)) != line.number:
            problems.append(f"Lines {number} and {line.number} are the same order.")
    if facts.reference_is_secret:
        reasons = [reason, *(line.reason for line in lines)]
        if any(line.reference in one for line in lines for one in reasons if line.reference):
            problems.append(typed.reveals("reason"))
    if problems:
        complain(problems)


def _wrong_with(line: Typed, facts: Facts) -> str:
    if len(line.reference) > 512 or not facts.reference.fullmatch(line.reference):
        form = facts.reference_form.rstrip(".")
        return f"Line {line.number} cannot be right: a {facts.label} {facts.reference_label} is {form}."
    problem = typed.complaint("reason", line.reason) if line.reason else ""
    return f"Line {line.number}: {problem}" if problem else ""


def complain(problems: Iterable[str]) -> None:
    """Raise `BadForm` with the first few of them."""
    told = list(problems)
    left = len(told) - PROBLEMS_TOLD
    more = [f"And {left} more problems."] if left > 0 else []
    raise BadForm({"reference": " ".join([*told[:PROBLEMS_TOLD], *more])})


def named(line: Typed, facts: Facts) -> str:
    """A line in a complaint about it; a secret is not repeated."""
    return f"Line {line.number}" if facts.reference_is_secret else f"Line {line.number} ({line.reference})"


def not_again(unit: Unit, by_key: dict[str, Typed], facts: Facts, seen: str) -> None:
    """What became of earlier requests for these orders is said before approvers are asked once more."""
    often, before = [], []
    every = unit.requests_among(list(by_key), since=unit.now - TELL_FOR)
    for key, line in by_key.items():
        earlier = [one for one in every if one.reference_key == key]
        if sum(one.created_at > unit.now - timedelta(days=1) for one in earlier) >= A_DAY_PER_ORDER:
            often.append(f"{named(line, facts)} has been asked for too often within a day.")
        if told := next((one for one in earlier if one.state in WORTH_KNOWING), None):
            before.append((line, told))
    if often:
        complain(often)
    mark = hashlib.sha256("".join(one.id for _, one in before).encode()).hexdigest()[:16]
    if before and mark != seen:
        told_of = [
            f"{named(line, facts)}: {word(one.state)} in request {one.short_id}."
            for line, one in before[:PROBLEMS_TOLD]
        ]
        left = len(before) - len(told_of)
        told_of += [f"And {left} more."] if left > 0 else []
        raise SomeAskedBefore(mark, f"Asked for before: {' '.join(told_of)}")


def line_of(batch: Batch, line: Typed, account: Account) -> Requested:
    asked = batch.asked
    key = reference_key(asked.provider, asked.account, line.reference)
    return Requested(
        team=asked.team,
        channel=asked.channel,
        provider=asked.provider,
        account=asked.account,
        reference=shown(line.reference, key, account.facts),
        reference_key=key,
        requester=asked.requester,
        reason=line.reason or asked.reason,
        quorum=asked.quorum,
        approvers=asked.approvers,
        expires_at=asked.expires_at,
        account_name=asked.account_name,
        escalation=asked.escalation,
        escalate_at=asked.escalate_at,
        batch=batch.id,
    )
