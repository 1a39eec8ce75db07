"""Several orders at once: ask, decide on all of them, and say what became of them.

The same story as in `bot/workflow.py`: each public function is one transaction, and talks to nobody.
Every line is an ordinary request there and goes its own way once it was approved; here it only has no
card, no reminders and no messages of its own.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot import agenda, announce, batches, typed
from bot.accounts import Account
from bot.agenda import Kind
from bot.batches import (
    LEFT_TO_PEOPLE,
    LINES_AT_MOST,
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
from bot.blocks import batch_notices as said
from bot.blocks.cards import Message
from bot.blocks.text import section
from bot.errors import BadForm, Refused
from bot.model import BEFORE_PERMIT, Event, Person, Request, Requested, State, Verdict, reference_key
from bot.store import Store, Unit
from bot.workflow import (
    A_DAY_PER_ORDER,
    ALREADY,
    OPEN_PER_REQUESTER,
    PAGE,
    TELL_FOR,
    WORTH_KNOWING,
    Ask,
    Click,
    Workflow,
    same_card,
    shown,
)
from providers.contract import Facts

PROBLEMS_TOLD = 8
"""Lines that are named when a list cannot be taken."""
SOON = timedelta(seconds=1)

View = tuple[Batch, list[Request]]
"""A batch and its lines as they are now."""


@dataclass(frozen=True, slots=True)
class Views:
    """Some of a list, as it is shown at once."""

    shown: Sequence[View]
    has_more: bool


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


class SomeAskedBefore(Refused):
    """Some of the orders were asked for before. Whoever has been told may ask all the same."""

    def __init__(self, seen: str, advice: str) -> None:
        super().__init__("asked_before", advice)
        self.seen = seen


class Batches:
    """What people and the worker can make happen to several requests at once."""

    def __init__(self, workflow: Workflow, store: Store) -> None:
        self._workflow = workflow
        self._store = store

    def facts(self, batch: Batch) -> Facts:
        return self._workflow.facts_of(batch.asked.provider)

    # --- asking -----------------------------------------------------------------------------------

    async def submit(self, ask: BatchAsk, by: Person) -> Batch:
        """Ask for several cancellations. Each order is looked up next; then people are asked about all.

        Raises `BadForm` for what can be corrected in the list, `SomeAskedBefore` when the person should
        know about earlier requests first, `Refused` when this person may not ask.
        """
        account = self._workflow.chosen(Ask(ask.provider, "", ask.reason, account=ask.account))
        lines = read_lines(ask.text)
        _check(account, lines, ask.reason)
        self._workflow.may_ask(by)
        self._workflow.can_be_approved(account, by)
        batch_id = secrets.token_hex(16)
        request_ids = tuple(secrets.token_hex(16) for _ in lines)

        def begin(unit: Unit) -> Batch:
            if mine := unit.batch(batch_id):
                return mine  # saved already: the connection broke right after the commit
            self._may_begin(unit, account, lines, ask, by)
            batch = Batch(batch_id, unit.now, self._asked(unit, account, ask, by, request_ids))
            unit.begin_batch(batch)
            first = [
                (request_id, _line_of(batch, line, account), line.reference)
                for request_id, line in zip(request_ids, lines, strict=True)
            ]
            begun = unit.begin_all(first)
            unit.schedule_all([(Kind.CHECK, request.id, request.lane, unit.now) for request in begun])
            self._agree_on_times(unit, batch)
            _owe(unit, _card(batch))
            _owe(unit, announce.whisper(ask.origin, by, said.batch_asked(batch, account.facts)))
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
            _complain(
                f"{_named(by_key[key], account.facts)} is being dealt with already in request {one.short_id}."
                for key, one in taken.items()
            )
        if unit.open_requests_of(str(by)) >= OPEN_PER_REQUESTER:
            raise Refused("too_many", "You have too many open requests. Wait for some, or withdraw some.")
        _not_again(unit, by_key, account.facts, ask.seen)

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
            return batches.approve(batch, lines, by, click.digest, click.clicked, self._judged(by), unit.now)

        return await self._decide(click.request_id, by, "approve", change, click)

    async def take_back(self, click: Click, by: Person) -> Batch:
        return await self._decide(
            click.request_id,
            by,
            "take back",
            lambda unit, _, lines: batches.take_back(lines, by, click.clicked, unit.now),
            click,
        )

    async def deny(self, batch_id: str, by: Person, reason: str) -> Batch:
        """End every line that has not been sent. One eligible person is enough."""

        def change(unit: Unit, batch: Batch, lines: list[Request]) -> list[Change]:
            self._check_words("reason", reason, batch, lines)
            return batches.deny(lines, by, reason, self._judged(by), unit.now)

        return await self._decide(batch_id, by, "deny", change, None, reason)

    async def withdraw(self, batch_id: str, by: Person, click: Click | None = None) -> Batch:
        return await self._decide(
            batch_id, by, "withdraw", lambda unit, _, lines: batches.withdraw(lines, by, unit.now), click
        )

    async def may_question(self, click: Click, by: Person) -> View:
        """Batch and lines, if `by` could ask about them now. Changes nothing; raises `Refused` if not."""

        def look(unit: Unit) -> View:
            batch, lines = self._load(unit, click.request_id)
            batches.question(lines, by, "", self._judged(by), (), unit.now)
            return batch, lines

        return await self._store.read(look)

    async def question(self, batch_id: str, by: Person, text: str) -> Batch:
        """Ask the requester something, in the thread of the card. Decides nothing."""

        def ask(unit: Unit) -> Batch | Refused:
            batch, lines = self._load(unit, batch_id)
            try:
                self._check_words("question", text, batch, lines)
                before = unit.questions_about(batch.id)
                new = batches.question(lines, by, text, self._judged(by), before, unit.now)
            except Refused as refused:
                unit.note_of_batch(batch.id, BatchAttemptRefused(by, "question", refused.rule))
                return refused
            for one in new:
                unit.note_of_batch(batch.id, one)
                _owe(unit, _reply(batch, said.batch_decided(batch, "question", by.user, lines, text)))
            return batch

        return _raised(await self._store.write(ask))

    def _check_words(self, what: str, text: str, batch: Batch, lines: Sequence[Request]) -> None:
        facts = self.facts(batch)
        reveals = any(typed.repeats_a_secret_reference(text, line, facts) for line in lines)
        if problem := typed.complaint(what, text) or (typed.reveals(what) if reveals else ""):
            raise Refused("bad_text", problem)

    async def may_deny(self, click: Click, by: Person) -> View:
        """Batch and lines, if `by` could deny them now. Changes nothing; raises `Refused` if not."""

        def look(unit: Unit) -> View:
            batch, lines = self._load(unit, click.request_id)
            batches.deny(lines, by, "", self._judged(by), unit.now)
            return batch, lines

        return await self._store.read(look)

    async def see(self, batch_id: str, by: Person) -> View:
        batch, lines = await self._store.read(lambda unit: self._load(unit, batch_id))
        if by.team != batch.asked.team:
            raise Refused("outsider", "Only members of the workspace that runs this bot can see the details.")
        return batch, lines

    async def find(self, prefix: str) -> View | None:
        """The only batch whose ID begins with `prefix`; None when none or several do."""
        wanted = prefix.strip().lower().lstrip("#")
        if not 4 <= len(wanted) <= 32 or set(wanted) - set("0123456789abcdef"):
            return None

        def look(unit: Unit) -> View | None:
            found = unit.find_batches(wanted)
            return (found[0], unit.lines_of(found[0])) if len(found) == 1 else None

        return await self._store.read(look)

    async def mine(self, by: Person, page: int = 1) -> Views:
        """Those that somebody asked for, the newest first."""
        return await self._page(page, requester=str(by))

    async def pending(self, page: int = 1) -> Views:
        """Those with an order that waits for people, the oldest first."""
        states = [State.PENDING.value, State.APPROVED.value]
        return await self._page(page, states=states, is_open=True, oldest_first=True)

    async def history(self, provider: str = "", by: Person | None = None, page: int = 1) -> Views:
        """Those that are done, the newest first; of one provider or of one requester, if given."""
        return await self._page(
            page, is_open=False, requester=str(by) if by else None, provider=provider or None
        )

    async def _page(self, number: int, **which: Any) -> Views:
        def read(unit: Unit) -> list[View]:
            found = unit.batches(**which, limit=PAGE + 1, skip=(number - 1) * PAGE)
            return [(batch, unit.lines_of(batch)) for batch in found]

        found = await self._store.read(read)
        return Views(found[:PAGE], has_more=len(found) > PAGE)

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
                _owe(unit, announce.whisper(click.channel if click else "", by, ALREADY))
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
        _owe(unit, _card(batch))
        _owe(unit, _reply(batch, said.batch_decided(batch, action, by, changed, reason)))
        self._workflow.paint_homes(unit)
        if action == "take back":
            self._remind_later(unit, batch)
        self._end_if_done(unit, batch)

    # --- what the worker does ---------------------------------------------------------------------

    def follow(self, unit: Unit, before: Request | None, after: Request, events: Sequence[Event]) -> None:
        """Something happened to one line: what becomes due, and what people are told about it."""
        unit.schedule_all(self._due(unit, before, after, events))
        batch = self._present(unit, after.batch)
        _owe(unit, _card(batch))
        if after.state in LEFT_TO_PEOPLE:
            for message in announce.owed(before, after, events, self.facts(batch)):
                _owe(unit, message)
        states = unit.line_states(batch.id)
        if (
            before
            and before.state is State.CHECKING
            and not is_checking(states)
            and states.get(State.PENDING)
        ):
            self._call(unit, batch)
        waits_again = before is not None and before.state is State.APPROVED and after.state is State.PENDING
        if waits_again and states.get(State.PENDING) == 1:
            line = self._workflow.by_name(after)
            _owe(unit, _reply(batch, said.batch_again(batch, line, self.facts(batch))))
            self._remind_later(unit, batch)
        if after.decided_by:
            _owe(unit, _reply(batch, said.batch_left(after, events, self.facts(batch))))
        self._end_if_done(unit, batch)

    def _call(self, unit: Unit, batch: Batch) -> None:
        lines = self._by_name(unit.lines_of(batch))
        _owe(unit, _reply(batch, said.batch_call(batch, lines, self.facts(batch))))
        self._workflow.paint_homes(unit)
        self._remind_later(unit, batch)

    def _remind_later(self, unit: Unit, batch: Batch) -> None:
        if after := self._workflow.policy.timing.remind_after:
            unit.schedule(Kind.BATCH_REMIND, batch.id, "", unit.now + after)

    def _end_if_done(self, unit: Unit, batch: Batch) -> None:
        if not is_done(unit.line_states(batch.id)) or not unit.close_batch(batch.id):
            return
        lines, facts = unit.lines_of(batch), self.facts(batch)
        _owe(unit, _reply(batch, said.batch_outcome(batch, lines, facts), outcome=True))
        _owe(unit, _direct(batch, said.batch_dm(batch, lines, facts)))
        self._workflow.paint_homes(unit)

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
        _owe(unit, _reply(batch, said.batch_reminder(batch, self._by_name(lines), self.facts(batch), ends)))
        return True

    async def expire(self, batch_id: str) -> timedelta | None:
        """End in one transaction what was not sent in time. Returns when to look again, if that was early."""

        def expire(unit: Unit) -> timedelta | None:
            batch, lines = self._load(unit, batch_id)
            if changes := batches.expire(lines, unit.now):
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
            if changes := batches.escalate(lines, unit.now):
                self._save(unit, batch, changes, "escalate")
            return None

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

    def _load(self, unit: Unit, batch_id: str) -> View:
        batch = self._present(unit, batch_id)
        return batch, unit.lines_of(batch)

    def _present(self, unit: Unit, batch_id: str) -> Batch:
        batch = unit.batch(batch_id)
        if batch is None:
            raise Refused("no_such_request", "This request is not known here. It may belong to another bot.")
        return batch


def _raised(result: Batch | Refused) -> Batch:
    """After the commit: that somebody was refused is in the history by now."""
    if isinstance(result, Refused):
        raise result
    return result


# --- checking a list --------------------------------------------------------------------------------


def _check(account: Account, lines: Sequence[Typed], reason: str) -> None:
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
        _complain(problems)


def _wrong_with(line: Typed, facts: Facts) -> str:
    if len(line.reference) > 512 or not facts.reference.fullmatch(line.reference):
        form = facts.reference_form.rstrip(".")
        return f"Line {line.number} cannot be right: a {facts.label} {facts.reference_label} is {form}."
    problem = typed.complaint("reason", line.reason) if line.reason else ""
    return f"Line {line.number}: {problem}" if problem else ""


def _complain(problems: Any) -> None:
    told = list(problems)
    left = len(told) - PROBLEMS_TOLD
    more = [f"And {left} more problems."] if left > 0 else []
    raise BadForm({"reference": " ".join([*told[:PROBLEMS_TOLD], *more])})


def _named(line: Typed, facts: Facts) -> str:
    """A line in a complaint about it; a secret is not repeated."""
    return f"Line {line.number}" if facts.reference_is_secret else f"Line {line.number} ({line.reference})"


def _not_again(unit: Unit, by_key: dict[str, Typed], facts: Facts, seen: str) -> None:
    """What became of earlier requests for these orders is said before approvers are asked once more."""
    often, before = [], []
    every = unit.requests_among(list(by_key), since=unit.now - TELL_FOR)
    for key, line in by_key.items():
        earlier = [one for one in every if one.reference_key == key]
        if sum(one.created_at > unit.now - timedelta(days=1) for one in earlier) >= A_DAY_PER_ORDER:
            often.append(f"{_named(line, facts)} has been asked for too often within a day.")
        if told := next((one for one in earlier if one.state in WORTH_KNOWING), None):
            before.append((line, told))
    if often:
        _complain(often)
    mark = hashlib.sha256("".join(one.id for _, one in before).encode()).hexdigest()[:16]
    if before and mark != seen:
        told_of = [
            f"{_named(line, facts)}: {one.state.value.replace('_', ' ')} in request {one.short_id}."
            for line, one in before[:PROBLEMS_TOLD]
        ]
        left = len(before) - len(told_of)
        told_of += [f"And {left} more."] if left > 0 else []
        raise SomeAskedBefore(mark, f"Asked for before: {' '.join(told_of)}")


def _line_of(batch: Batch, line: Typed, account: Account) -> Requested:
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


def _owe(unit: Unit, message: announce.Owed) -> None:
    unit.owe(
        message.lane, message.kind, request_id=message.request_id, target=message.target, body=message.body
    )
