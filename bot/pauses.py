"""Pauses: stop sending cancels to a provider, or to all, until somebody says that it may go on.

A pause is a row in the database, read in the transaction that takes a permit, so it holds for every
worker at once. Nothing else stops: requests are taken and approved, and what was sent is looked up.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence

from bot import announce, once, typed
from bot.accounts import Accounts
from bot.agenda import Kind
from bot.blocks import pauses
from bot.blocks.text import literal
from bot.directory import Directory
from bot.errors import Refused
from bot.events import Answered, Event, FollowedUp
from bot.model import Eligibility, Pause, Person, Request
from bot.store import Store, Unit
from providers.contract import Facts, Result

UNKNOWNS_IN_A_ROW = 3
"""Unknown outcomes of one provider after which nothing more is sent to it."""
BY_ITSELF = "the bot itself"
PAUSED, RESUMED, NOT_ALLOWED = "paused", "resumed", "pause_refused"
"""What is noted in the history."""


def pause(
    unit: Unit, facts: Facts | None, by: str, reason: str, channels: Iterable[str]
) -> tuple[Pause, bool]:
    """Stop what leads to a provider, or to all, and owe the channels the announcement. Returns the pause,
    and whether it is new: one that is there already stays as it is, and nobody is told again."""
    if there := unit.pauses.of(_name(facts)):
        return there, False
    begun = unit.pauses.begin(_name(facts), by, reason)
    unit.note(PAUSED, {"provider": begun.provider, "by": by, "reason": reason})
    _announce(unit, channels, pauses.began(begun, facts))
    return begun, True


def resume(
    unit: Unit, facts: Facts | None, by: str, channels: Iterable[str], known: Mapping[str, Facts]
) -> str:
    """End exactly this pause; the pause of everything is not that of each provider. Returns what to tell
    whoever asked. What waited for it is tried at once."""
    was = unit.pauses.of(_name(facts))
    if was is not None:
        unit.pauses.end(was.provider)
        unit.note(RESUMED, {"provider": was.provider, "by": by})
        unit.hasten(Kind.CANCEL, was.provider)
    left = still_paused(unit, known)
    if was is None:
        return f"Cancelling {pauses.where(facts)} is not paused. {left}".rstrip()
    said = pauses.ended(by, facts, left)
    _announce(unit, channels, said)
    return f"It goes on. {left}".rstrip()


def reveals(unit: Unit, reason: str, known: Mapping[str, Facts]) -> bool:
    """Whether it repeats the reference of an open request that is as good as a key."""
    secret = [facts.name for facts in known.values() if facts.reference_is_secret]
    return any(reference in reason for reference in unit.references_at(secret))


def still_paused(unit: Unit, known: Mapping[str, Facts]) -> str:
    """Each pause in a sentence; empty when there is none."""
    return " ".join(f"{pauses.why(each, known.get(each.provider))}." for each in unit.pauses.all())


def why_paused(unit: Unit, facts: Facts, known: Mapping[str, Facts]) -> str:
    """Why nothing may be sent to this provider now; empty when nothing is in the way."""
    found = unit.pauses.stopping(facts.name)
    return "" if found is None else pauses.why(found, known.get(found.provider))


def count(unit: Unit, after: Request, events: Sequence[Event], facts: Facts, channels: Iterable[str]) -> None:
    """Pause a provider whose answers are lost, one after the other. A complete answer that proves nothing
    by itself is none of these: a look-up tells at once."""
    for event in events:
        if not isinstance(event, Answered | FollowedUp):
            continue
        if event.outcome.result is not Result.UNKNOWN:
            unit.pauses.count_known(after.provider)
        elif isinstance(event, Answered) and not event.outcome.settled:
            unknowns = unit.pauses.count_unknown(after.provider)
            if unknowns >= UNKNOWNS_IN_A_ROW:
                pause(unit, facts, BY_ITSELF, pauses.lost_answers(unknowns, facts), channels)


class Pauses:
    """Pause and resume, for people in Slack: whoever may approve there may stop it."""

    def __init__(
        self, store: Store, accounts: Accounts, facts: Mapping[str, Facts], directory: Directory
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._facts = facts
        self._directory = directory

    def channels(self, provider: str) -> list[str]:
        """Where the requests of a provider are approved; of all, if none is named."""
        return list(dict.fromkeys(one.channel for one in self._accounts if provider in ("", one.facts.name)))

    async def pause(self, provider: str, by: Person, reason: str, mark: str = "") -> str:
        """Returns what to tell them, as markup. Raises `Refused`. `mark` stands for the command, which counts
        once."""
        if problem := typed.complaint("reason", reason):
            raise Refused("bad_text", problem)
        if await self._store.read(lambda unit: reveals(unit, reason, self._facts)):
            raise Refused("bad_text", typed.reveals("reason"))
        await self._may(provider, by, "pause")
        facts = self._facts.get(provider)
        channels = self.channels(provider)
        this = secrets.token_hex(8)

        def begin(unit: Unit) -> tuple[Pause, bool]:
            once.must_be_first(unit, mark, this)
            return pause(unit, facts, by.user, reason, channels)

        now, is_new = await self._store.write(begin)
        if not is_new:
            return pauses.already(now, facts)
        return f"Cancelling {literal(pauses.where(facts))} is paused. The channel is told."

    async def resume(self, provider: str, by: Person, mark: str = "") -> str:
        """Returns what to tell them. Raises `Refused`. `mark` as for `pause`."""
        await self._may(provider, by, "resume")
        facts, channels = self._facts.get(provider), self.channels(provider)
        this = secrets.token_hex(8)

        def end(unit: Unit) -> str:
            once.must_be_first(unit, mark, this)
            return resume(unit, facts, by.user, channels, self._facts)

        return await self._store.write(end)

    async def now(self) -> str:
        """Everything that is paused, in sentences; empty when nothing is."""
        return await self._store.read(lambda unit: still_paused(unit, self._facts))

    def told(self, paused: Iterable[Pause]) -> list[str]:
        """Each pause as markup: what is paused, by whom and why, and what ends it."""
        return [pauses.in_force(each, self._facts.get(each.provider)) for each in paused]

    async def _may(self, provider: str, by: Person, action: str) -> None:
        """Raises `Refused`, after that is in the history, unless `by` may approve at this provider."""
        await self._directory.meet(by)
        lists = [one.approvers for one in self._accounts if provider in ("", one.facts.name)]
        verdicts = [self._directory.known(by, approvers) for approvers in lists]
        if any(verdict.answer is Eligibility.ELIGIBLE for verdict in verdicts):
            return
        unsure = [verdict for verdict in verdicts if verdict.answer is Eligibility.CANNOT_TELL]
        rule = "cannot_verify" if unsure else "not_approver"
        note = {"by": str(by), "action": action, "provider": provider, "rule": rule}
        await self._store.write(lambda unit: unit.note(NOT_ALLOWED, note), even_late=True)
        if unsure:
            raise Refused(
                rule,
                f"It could not be confirmed that you may {action} this ({unsure[0].why}). Try again, or have "
                f"an operator run: python -m bot {action}",
            )
        raise Refused(rule, f"Only those who may approve can {action} this: you are {verdicts[0].why}.")


def _name(facts: Facts | None) -> str:
    return facts.name if facts else ""


def _announce(unit: Unit, channels: Iterable[str], text: str) -> None:
    announce.paint_homes(unit)
    announce.owe(unit, *(announce.notice(channel, text) for channel in channels))
