"""Several orders at once: ask, decide on all of them, and say what became of them.

The same story as in `bot/workflow.py`: each public function is one transaction, and talks to nobody.
Every line is an ordinary request there and goes its own way once it was approved; here it only has no
card, no reminders and no messages of its own.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot import agenda, announce, once, typed
from bot.accounts import Account
from bot.admission import ASK_REFUSED, OPEN_PER_REQUESTER, Ask, refusal
from bot.agenda import Kind
from bot.announce import owe
from bot.batch import rules
from bot.batch.asking import BatchAsk, check_list, complain, line_of, named, not_again
from bot.batch.rules import (
    LEFT_TO_PEOPLE,
    Batch,
    BatchAttemptRefused,
    BatchDecided,
    BatchRequested,
    Change,
    Judged,
    Typed,
    batch_digest,
    is_checking,
    is_done,
    read_lines,
    waiting,
)
from bot.batch.views import BatchViews, View
from bot.blocks import batch_notices as said
from bot.blocks.cards import Message
from bot.blocks.refusals import already
from bot.blocks.text import section
from bot.clicks import Click, must_be_its_card, same_card
from bot.errors import HeardBefore, Refused, SomeAskedBefore
from bot.events import Denied, Event, Held, Withdrawn
from bot.model import BEFORE_PERMIT, Person, Request, State, Verdict, reference_key
from bot.store import Unit

SOON = timedelta(seconds=1)


class Batches(BatchViews):
    """What people and the worker can make happen to several requests at once."""

    # --- asking -----------------------------------------------------------------------------------

    async def submit(self, ask: BatchAsk, by: Person) -> Batch:
        """Ask for several cancellations. Each order is looked up next; then people are asked about all.

        Raises `BadForm` for what can be corrected in the list, `SomeAskedBefore` when the person should
        know about earlier requests first, `Refused` when this person may not ask.
        """
        account = self._workflow.admission.chosen(Ask(ask.provider, "", ask.reason, account=ask.account))
        lines = read_lines(ask.text)
        check_list(account, lines, ask.reason)
        try:
            return await self._submit(ask, by, account, lines)
        except (SomeAskedBefore, HeardBefore):
            raise  # only told: whoever knows may ask all the same, and who has asked knows
        except Refused as refused:
            told = refusal(account, by, refused)
            await self._store.write(lambda unit: unit.note(ASK_REFUSED, told), even_late=True)
            raise

    async def _submit(self, ask: BatchAsk, by: Person, account: Account, lines: Sequence[Typed]) -> Batch:
        await self._workflow.admission.meet(by)
        self._workflow.admission.may_ask(by)
        self._workflow.admission.can_be_approved(account, by)
        batch_id = secrets.token_hex(16)
        request_ids = tuple(secrets.token_hex(16) for _ in lines)

        def begin(unit: Unit) -> Batch:
            if mine := unit.batch(batch_id):
                return mine  # saved already: the connection broke right after the commit
            once.must_be_first(unit, ask.mark, batch_id)
            self._may_begin(unit, account, lines, ask, by)
            batch = Batch(batch_id, unit.now, self._asked(unit, account, ask, by, request_ids))
            unit.begin_batch(batch)
            first = [
                (request_id, line_of(batch, line, account), line.reference)
                for request_id, line in zip(request_ids, lines, strict=True)
            ]
            begun = unit.begin_all(first)
            unit.schedule_all([(Kind.CHECK, request.id, request.lane, unit.now) for request in begun])
            self._agree_on_times(unit, batch)
            owe(unit, _card(batch))
            owe(unit, announce.whisper(ask.origin, by, said.batch_asked(batch, account.facts)))
            return batch

        return await self._store.write(begin)

    def _asked(
        self, unit: Unit, account: Account, ask: BatchAsk, by: Person, lines: tuple[str, ...]
    ) -> BatchRequested:
        policy = self._workflow.policy
        return BatchRequested(
            team=policy.team,
            channel=account.channel,
            provider=account.facts.name,
            account=account.provider.account,
            requester=by,
            reason=ask.reason,
            quorum=account.quorum,
            approvers=account.approvers,
            expires_at=unit.now + account.ttl,
            lines=lines,
            account_name=account.name,
            escalation=policy.escalate_to,
            escalate_at=unit.now + policy.escalate_after if policy.escalate_to else None,
        )

    def _may_begin(
        self, unit: Unit, account: Account, lines: Sequence[Typed], ask: BatchAsk, by: Person
    ) -> None:
        by_key = {reference_key(account.facts.name, account.provider.account, t.reference): t for t in lines}
        taken = unit.open_requests_among(list(by_key))
        if taken:
            complain(
                f"{named(by_key[key], account.facts)} is being dealt with already in request {one.short_id}."
                for key, one in taken.items()
            )
        if unit.open_requests_of(str(by)) >= OPEN_PER_REQUESTER:
            raise Refused("too_many", "You have too many open requests. Wait for some, or withdraw some.")
        not_again(unit, by_key, account.facts, ask.seen)

    def _agree_on_times(self, unit: Unit, batch: Batch) -> None:
        asked, warned_at = batch.asked, agenda.last_call_of(batch.created_at, batch.asked.expires_at)
        unit.schedule(Kind.BATCH_EXPIRE, batch.id, "", asked.expires_at)
        if warned_at > unit.now:
            unit.schedule(Kind.BATCH_WARN, batch.id, "", warned_at)
        if asked.escalate_at:
            unit.schedule(Kind.BATCH_ESCALATE, batch.id, "", asked.escalate_at)

    # --- what people decide -----------------------------------------------------------------------

    async def approve(self, click: Click, by: Person) -> Batch:
        """Count one approval of every line that waits for one, exactly as the clicked card shows them."""

        def change(unit: Unit, batch: Batch, lines: list[Request]) -> list[Change]:
            unit.prove_batch(batch)
            return rules.approve(batch, lines, by, click.digest, click.clicked, self._judged(by), unit.now)

        return await self._decide(click.request_id, by, "approve", change, click)

    async def take_back(self, click: Click, by: Person) -> Batch:
        return await self._decide(
            click.request_id,
            by,
            "take back",
            lambda unit, _, lines: rules.take_back(lines, by, click.clicked, unit.now),
            click,
        )

    async def deny(self, batch_id: str, by: Person, reason: str) -> Batch:
        """End every line that has not been sent. One eligible person is enough."""

        def change(unit: Unit, batch: Batch, lines: list[Request]) -> list[Change]:
            typed.refuse("reason", reason, lines, self.facts(batch))
            return rules.deny(lines, by, reason, self._judged(by), unit.now)

        await self._workflow.meet(by)
        return await self._decide(batch_id, by, "deny", change, None, reason)

    async def withdraw(self, batch_id: str, by: Person, click: Click | None = None) -> Batch:
        return await self._decide(
            batch_id, by, "withdraw", lambda unit, _, lines: rules.withdraw(lines, by, unit.now), click
        )

    async def may_question(self, click: Click, by: Person) -> View:
        """Batch and lines, if `by` could ask about them now. Changes nothing; raises `Refused` if not."""

        def look(unit: Unit) -> View:
            batch, lines = self._load(unit, click.request_id)
            must_be_its_card(unit, batch, click)
            rules.question(lines, by, "", self._judged(by), (), unit.now)
            return batch, lines

        return await self._store.read(look)

    async def question(self, batch_id: str, by: Person, text: str) -> Batch:
        """Ask the requester something, in the thread of the card. Decides nothing."""

        def ask(unit: Unit) -> Batch | Refused:
            batch, lines = self._load(unit, batch_id)
            try:
                typed.refuse("question", text, lines, self.facts(batch))
                before = unit.questions_about(batch.id)
                new = rules.question(lines, by, text, self._judged(by), before, unit.now)
            except Refused as refused:
                unit.note_of_batch(batch.id, BatchAttemptRefused(by, "question", refused.rule))
                return refused
            for one in new:
                unit.note_of_batch(batch.id, one)
                owe(unit, _reply(batch, said.batch_decided(batch, "question", by.user, lines, text)))
            return batch

        return _raised(await self._store.write(ask))

    async def may_deny(self, click: Click, by: Person) -> View:
        """Batch and lines, if `by` could deny them now. Changes nothing; raises `Refused` if not."""

        def look(unit: Unit) -> View:
            batch, lines = self._load(unit, click.request_id)
            must_be_its_card(unit, batch, click)
            rules.deny(lines, by, "", self._judged(by), unit.now)
            return batch, lines

        await self._workflow.meet(by)
        return await self._store.read(look)

    async def _decide(
        self,
        batch_id: str,
        by: Person,
        action: str,
        change: Callable[[Unit, Batch, list[Request]], list[Change]],
        click: Click | None,
        reason: str = "",
    ) -> Batch:
        """One person's decision on all lines. A refused one is in the history too."""

        def decide_and_save(unit: Unit) -> Batch | Refused:
            batch, lines = self._load(unit, batch_id)
            try:
                if click is not None:
                    same_card(unit, batch, click)
                changes = change(unit, batch, lines)
            except Refused as refused:
                unit.note_of_batch(batch.id, BatchAttemptRefused(by, action, refused.rule))
                return refused
            if not changes:
                told = already(action, lines)
                owe(unit, announce.whisper(click.channel if click else "", by, told))
                return batch
            card = batch_digest(batch, lines) if action == "approve" else ""
            unit.note_of_batch(batch.id, BatchDecided(by, action, card, len(changes)))
            self._save(unit, batch, changes, action, by.user, reason)
            return batch

        return _raised(await self._store.write(decide_and_save))

    def _save(
        self, unit: Unit, batch: Batch, changes: Sequence[Change], action: str, by: str = "", reason: str = ""
    ) -> None:
        """Save what happens to many lines at once, and say it once."""
        changed = unit.save_all(changes)
        unit.schedule_all(
            [
                work
                for (before, events), after in zip(changes, changed, strict=True)
                for work in self._due(unit, before, after, events)
            ]
        )
        owe(unit, _card(batch), _reply(batch, said.batch_decided(batch, action, by, changed, reason)))
        announce.paint_homes(unit)
        if action == "take back":
            self._remind_later(unit, batch)
        self._end_if_done(unit, batch)

    # --- what the worker does ---------------------------------------------------------------------

    def follow(self, unit: Unit, before: Request | None, after: Request, events: Sequence[Event]) -> None:
        """Something happened to one line: what becomes due, and what people are told about it."""
        unit.schedule_all(self._due(unit, before, after, events))
        batch = self._present(unit, after.batch)
        owe(unit, _card(batch))
        if after.state in LEFT_TO_PEOPLE:
            owe(unit, *announce.owed(before, after, events, self.facts(batch)))
        states = unit.line_states(batch.id)
        if (
            before
            and before.state is State.CHECKING
            and not is_checking(states)
            and states.get(State.PENDING)
        ):
            self._call(unit, batch)
        waits_again = before is not None and before.state is State.APPROVED and after.state is State.PENDING
        if waits_again and after.escalate_at and not after.escalated:
            unit.schedule(Kind.BATCH_ESCALATE, batch.id, "", max(after.escalate_at, unit.now))
        if waits_again and states.get(State.PENDING) == 1:
            line = self._workflow.by_name(after)
            owe(unit, _reply(batch, said.batch_again(batch, line, self.facts(batch))))
            self._remind_later(unit, batch)
        if any(isinstance(event, Denied | Withdrawn) for event in events):
            owe(unit, _reply(batch, said.batch_left(after, events, self.facts(batch))))
        if any(isinstance(event, Held) for event in events):
            _paint_for_the_first(unit, batch)
        self._end_if_done(unit, batch)

    def _call(self, unit: Unit, batch: Batch) -> None:
        lines = self._by_name(unit.lines_of(batch))
        owe(unit, _reply(batch, said.batch_call(batch, lines, self.facts(batch))))
        announce.paint_homes(unit)
        self._remind_later(unit, batch)

    def _remind_later(self, unit: Unit, batch: Batch) -> None:
        if after := self._workflow.policy.timing.remind_after:
            unit.schedule(Kind.BATCH_REMIND, batch.id, "", unit.now + after)

    def _end_if_done(self, unit: Unit, batch: Batch) -> None:
        if not is_done(unit.line_states(batch.id)) or not unit.close_batch(batch.id):
            return
        lines, facts = unit.lines_of(batch), self.facts(batch)
        owe(unit, _reply(batch, said.batch_outcome(batch, lines, facts), outcome=True))
        owe(unit, _direct(batch, said.batch_dm(batch, lines, facts)))
        announce.paint_homes(unit)

    def _due(
        self, unit: Unit, before: Request | None, after: Request, events: Sequence[Event]
    ) -> list[tuple[str, str, str, datetime]]:
        """What the line has to have done. People are reminded of all lines at once, but for one that has
        a card of its own."""
        together = {Kind.EXPIRE, Kind.WARN, Kind.ESCALATE}
        if after.state not in LEFT_TO_PEOPLE:
            together |= {Kind.REMIND}
        due = agenda.due(before, after, events, unit.now, self._workflow.policy.timing)
        return [(work.kind, after.id, work.lane, work.at) for work in due if work.kind not in together]

    async def remind(self, batch_id: str) -> bool:
        """Owe the approvers a reminder; False when nobody is waited for any more."""
        return await self._store.write(lambda unit: self._remind(unit, batch_id, ends=False))

    async def warn(self, batch_id: str) -> None:
        await self._store.write(lambda unit: self._remind(unit, batch_id, ends=True))

    def _remind(self, unit: Unit, batch_id: str, *, ends: bool) -> bool:
        batch, lines = self._load(unit, batch_id)
        if not waiting(lines) or unit.now >= batch.asked.expires_at:
            return False
        if not any(line.state is State.PENDING for line in lines):
            return True  # enough have approved, and nobody can do more than wait
        owe(unit, _reply(batch, said.batch_reminder(batch, self._by_name(lines), self.facts(batch), ends)))
        return True

    async def expire(self, batch_id: str) -> timedelta | None:
        """End in one transaction what was not sent in time. Returns when to look again, if that was early."""

        def expire(unit: Unit) -> timedelta | None:
            batch, lines = self._load(unit, batch_id)
            if changes := rules.expire(lines, unit.now):
                self._save(unit, batch, changes, "expire")
            if not any(line.state in BEFORE_PERMIT for line in unit.lines_of(batch)):
                return None
            return max(batch.asked.expires_at - unit.now, SOON)

        return await self._store.write(expire)

    async def escalate(self, batch_id: str) -> timedelta | None:
        """Call further people about every line that waits. Returns when to look again."""

        def escalate(unit: Unit) -> timedelta | None:
            batch, lines = self._load(unit, batch_id)
            if any(line.state is State.CHECKING for line in lines):
                return 5 * SOON
            if changes := rules.escalate(lines, unit.now):
                self._save(unit, batch, changes, "escalate")
            at = batch.asked.escalate_at
            return max(at - unit.now, SOON) if at and unit.now < at else None  # the clock was set back

        return await self._store.write(escalate)

    # --- loading ----------------------------------------------------------------------------------

    def _judged(self, by: Person) -> Judged:
        """Whether they may decide, asked once for all lines that the same people may decide on."""
        known: dict[tuple[str, ...], Verdict] = {}

        def verdict(line: Request) -> Verdict:
            if line.may_decide not in known:
                known[line.may_decide] = self._workflow.verdict(line, by)
            return known[line.may_decide]

        return verdict

    def _by_name(self, lines: Sequence[Request]) -> list[Request]:
        return [self._workflow.by_name(line) for line in lines]


def _raised(result: Batch | Refused) -> Batch:
    """After the commit: that somebody was refused is in the history by now."""
    if isinstance(result, Refused):
        raise result
    return result


# --- what is owed -----------------------------------------------------------------------------------


def _card(batch: Batch) -> announce.Owed:
    return announce.Owed(batch.id, announce.Kind.CARD, batch.id, batch.channel)


def _reply(batch: Batch, text: str, *, outcome: bool = False) -> announce.Owed:
    body: dict[str, Any] = {"text": text, "blocks": [section(text, "line")], "outcome": outcome}
    return announce.Owed(batch.id, announce.Kind.REPLY, batch.id, batch.channel, json.dumps(body))


def _direct(batch: Batch, message: Message) -> announce.Owed:
    user = batch.requester.user
    body = json.dumps({"text": message.text, "blocks": message.blocks})
    return announce.Owed(f"direct:{user}", announce.Kind.DIRECT, batch.id, user, body)


def _paint_for_the_first(unit: Unit, batch: Batch) -> None:
    """App Homes tell of a list on hold; two hundred lines that follow the first one do not change that."""
    if sum(line.state is State.APPROVED and bool(line.held) for line in unit.lines_of(batch)) == 1:
        announce.paint_homes(unit)
