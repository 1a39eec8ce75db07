"""Who could approve a request if it were made now, by which rule, until when. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.accounts import Account
from bot.directory import Directory
from bot.model import Eligibility, Person, Verdict


@dataclass(frozen=True, slots=True)
class Style:
    """How things are written: in Slack otherwise than on the command line."""

    person: Callable[[str], str]
    time: Callable[[datetime], str]
    text: Callable[[str], str]
    """What people typed, or an operator."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What would become of one request."""

    account: Account
    requester: Person
    may_ask: Verdict
    """Of those who may ask; eligible where everybody may."""
    verdicts: tuple[Verdict, ...]
    """On everybody who is on the list of approvers, and is not the requester."""
    unread: tuple[str, ...]
    """Groups and schedules that could not be read."""
    later: tuple[Verdict, ...]
    """On those who are called when it has waited for `later_after`."""
    later_after: timedelta
    paused: str
    now: datetime

    @property
    def can_be_approved(self) -> bool:
        """As far as is known: whoever cannot be asked about is not counted."""
        is_asked = self.may_ask.answer is not Eligibility.NOT_ELIGIBLE
        return is_asked and len(_those(self.verdicts, Eligibility.ELIGIBLE)) >= self.account.quorum


def simulate(
    directory: Directory,
    account: Account,
    requester: Person,
    *,
    requesters: Sequence[str],
    escalation: tuple[timedelta, Sequence[str]],
    paused: str,
    now: datetime,
) -> Simulation:
    """By what `directory` knows at present."""

    def judged(names: Sequence[str]) -> tuple[Verdict, ...]:
        people, _ = directory.everybody(names)
        others = sorted(people - {requester.user})
        return tuple(directory.known(Person(requester.team, user), names) for user in others)

    after, called = escalation
    anybody = Verdict(requester, Eligibility.ELIGIBLE, "everybody may ask")
    return Simulation(
        account,
        requester,
        directory.known(requester, requesters, of="requesters") if requesters else anybody,
        judged(account.approvers),
        directory.everybody(account.approvers)[1],
        judged(called) if called else (),
        after,
        paused,
        now,
    )


def in_words(found: Simulation, style: Style) -> list[str]:
    """A line each; the last one is the answer."""
    account, who = found.account, style.person(found.requester.user)
    where = f"{account.facts.label}, account {account.name}" if account.name else account.facts.label
    lines = [
        f"A request of {who} to cancel at {style.text(where)}, if it were made now:",
        f"Asking: {_ANSWERS[found.may_ask.answer]}, {found.may_ask.why}.",
        f"Needed: {account.quorum} approvals until {style.time(found.now + account.ttl)}.",
        *_listed("May approve", _those(found.verdicts, Eligibility.ELIGIBLE), style),
        *_listed("Not known", _those(found.verdicts, Eligibility.CANNOT_TELL), style),
        *_listed("May not", _those(found.verdicts, Eligibility.NOT_ELIGIBLE), style),
        *([f"Could not be read: {', '.join(found.unread)}."] if found.unread else []),
    ]
    also = _those(found.later, Eligibility.ELIGIBLE)
    lines += _listed(f"Called as well from {style.time(found.now + found.later_after)} on", also, style)
    return [*lines, *([style.text(f"{found.paused}.")] if found.paused else []), _answer(found)]


_ANSWERS = {
    Eligibility.ELIGIBLE: "yes",
    Eligibility.NOT_ELIGIBLE: "no",
    Eligibility.CANNOT_TELL: "not known",
}


def _answer(found: Simulation) -> str:
    if found.can_be_approved:
        return "It could be approved."
    if found.may_ask.answer is Eligibility.NOT_ELIGIBLE:
        return "It would be refused."
    there = len(_those(found.verdicts, Eligibility.ELIGIBLE))
    return f"It could not be approved: {found.account.quorum} are needed, and {there} could."


def _listed(what: str, verdicts: Sequence[Verdict], style: Style) -> list[str]:
    people = ", ".join(f"{style.person(one.person.user)} ({one.why})" for one in verdicts)
    return [f"{what}: {people}."] if people else []


def _those(verdicts: Sequence[Verdict], answer: Eligibility) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.answer is answer]
