"""Delivers to Slack what is owed, for as long as it takes. The only outgoing messages of the bot.

Within a lane messages go out in the order in which they were written down; a request is one lane. A
card is painted from the request as it is at that moment, so ten changes while Slack was away are one
update, and an old picture never overwrites a newer one.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from bot.announce import OUTCOMES, Kind
from bot.blocks.cards import Message, approval_card
from bot.errors import StorageError
from bot.logs import get_logger
from bot.model import Request
from bot.slack import BAD_PAYLOAD, GONE_ERRORS, UNREACHABLE, Slack, SlackProblem
from bot.store import Store, Unit
from bot.store.tables import CardRow, MessageRow
from providers.contract import Facts

log = get_logger(__name__)

AT_ONCE = 8
WHISPER_LIFE = timedelta(minutes=10)
"""A private answer that comes later than this confuses more than it tells."""
NOTE_AGAIN = 1.0
"""Seconds between two attempts to write down what Slack has taken."""
LEFT = frozenset({"channel_not_found", "user_not_found", "user_disabled"})
"""What Slack says about a direct message to somebody who is not there any more."""
EVENT_TYPE = "order_cancellation"


class Pace(Protocol):
    async def turn(self, channel: str) -> None:
        """Return when one more message may be posted to `channel`."""
        ...


class SlackPace:
    """One message a second and channel, after a burst of a few at once: what Slack allows."""

    def __init__(self, every: float = 1.0, burst: int = 3) -> None:
        self._every = every
        self._burst = burst
        self._free_at: dict[str, float] = {}

    async def turn(self, channel: str) -> None:
        now = asyncio.get_running_loop().time()
        mine = max(self._free_at.get(channel, 0.0), now - self._every * (self._burst - 1))
        self._free_at[channel] = mine + self._every
        await asyncio.sleep(max(0.0, mine - now))


@dataclass(frozen=True, slots=True)
class Retry:
    first: timedelta
    longest: timedelta

    def after(self, tries: int) -> timedelta:
        wait: timedelta = self.first * 2 ** min(tries, 20)
        return min(wait, self.longest) * random.uniform(1.0, 1.25)  # noqa: S311


class Outbox:
    def __init__(
        self,
        store: Store,
        slack: Slack,
        facts: Mapping[str, Facts],
        retry: Retry,
        pace: Pace,
        clock: Callable[[], datetime],
        idle: float = 30.0,
    ) -> None:
        """`idle`: seconds after which the database is read again even if nobody woke us."""
        self._store = store
        self._slack = slack
        self._facts = facts
        self._retry = retry
        self._pace = pace
        self._clock = clock
        self._idle = idle
        self._wake = asyncio.Event()
        self._under_way: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.problem = ""
        """Why Slack does not take messages at the moment: for `/readyz`."""

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Deliver what is owed, for ever."""
        while True:
            self._wake.clear()
            # What was under way before the read may look undelivered in it and be delivered by now.
            busy = set(self._under_way)
            waiting = await self._store.read(lambda unit: unit.owed())
            now = self._clock()
            free = [message for message in waiting if message.lane not in busy]
            for message in free:
                if message.due <= now and len(self._tasks) < AT_ONCE:
                    self._start(message)
            await self._sleep([message.due for message in free if message.due > now], now)

    async def drain(self, grace: float) -> None:
        """Let deliveries that are under way end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)

    def _start(self, message: MessageRow) -> None:
        self._under_way.add(message.lane)
        task = asyncio.create_task(self._deliver(message), name=f"deliver {message.kind} {message.id}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(message.lane, done))

    def _done(self, lane: str, task: asyncio.Task[None]) -> None:
        self._under_way.discard(lane)
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.error("delivery_failed", lane=lane, exc_info=problem)
        self.wake()

    async def _sleep(self, later: list[datetime], now: datetime) -> None:
        """Until something new is owed, a delivery ends, or a postponed message is due again."""
        wait = min([(due - now).total_seconds() for due in later], default=self._idle)
        try:
            async with asyncio.timeout(min(wait, self._idle)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _deliver(self, message: MessageRow) -> None:
        identity = message.id or 0
        try:
            await self._send(message)
        except SlackProblem as problem:
            await self._later(message, problem)
            return
        except Exception as problem:
            log.exception("delivery_failed", kind=message.kind, request=message.request_id)
            await self._later(message, SlackProblem(type(problem).__name__))
            return
        self.problem = ""
        await self._write(lambda unit: unit.delivered(identity))

    async def _later(self, message: MessageRow, problem: SlackProblem) -> None:
        wait = problem.retry_after or self._retry.after(message.tries)
        if problem.is_auth or problem.code in UNREACHABLE or message.tries >= 3:
            self.problem = f"Slack does not take messages ({problem.code})"
        log.warning("delivery_postponed", kind=message.kind, request=message.request_id, why=problem.code)
        due = self._clock() + wait
        identity = message.id or 0
        await self._write(lambda unit: unit.postpone(identity, due, problem.code))

    async def _write(self, work: Callable[[Unit], None]) -> None:
        """Write down what Slack has taken or refused, for as long as it takes: until then the lane is
        held, because without the note the same message would go out again."""
        while True:
            try:
                return await self._store.write(work)
            except StorageError as problem:
                log.error("delivery_not_noted", why=problem.advice)
                await asyncio.sleep(NOTE_AGAIN)

    async def _send(self, message: MessageRow) -> None:
        body: dict[str, Any] = json.loads(message.body) if message.body else {}
        match Kind(message.kind):
            case Kind.CARD:
                await self._paint(message.request_id or "")
            case Kind.REPLY:
                await self._reply(message, body)
            case Kind.DIRECT:
                await self._direct(message, body)
            case Kind.WHISPER:
                await self._whisper(message, body)

    async def _paint(self, request_id: str) -> None:
        """Post or update the card, from the request as it is now."""
        request, card, last, head = await self._store.read(
            lambda unit: (
                unit.request(request_id),
                unit.card(request_id),
                unit.last_owed_card(request_id),
                str(unit.head()),
            )
        )
        if request is None:
            return
        message = approval_card(request, self._facts[request.provider])
        metadata = _metadata(request, head)
        try:
            await self._show(request, card, message, metadata)
        except SlackProblem as problem:
            if problem.code not in BAD_PAYLOAD:
                raise
            log.error("card_rejected_by_slack", request=request_id, why=problem.code)
            await self._show(request, card, _plain(message), metadata)
        await self._write(lambda unit: unit.covered(request_id, last))

    async def _show(
        self, request: Request, card: CardRow | None, message: Message, metadata: dict[str, Any] | None
    ) -> None:
        if card is not None:
            try:
                await self._slack.update(
                    card.channel, card.ts, message.text, blocks=message.blocks, metadata=metadata
                )
                return
            except SlackProblem as problem:
                if problem.code not in GONE_ERRORS:
                    raise
                # Somebody deleted the card. The request still needs one.
        await self._pace.turn(request.channel)
        channel, ts = await self._slack.post(
            request.channel, message.text, blocks=message.blocks, metadata=metadata
        )
        await self._write(lambda unit: unit.set_card(request.id, channel, ts))

    async def _reply(self, message: MessageRow, body: Mapping[str, Any]) -> None:
        request_id = message.request_id or ""
        request, card, head = await self._store.read(
            lambda unit: (unit.request(request_id), unit.card(request_id), str(unit.head()))
        )
        metadata = None
        if request is not None and body.get("outcome"):
            metadata = _metadata(request, head)
        await self._say(message.target, body, card.ts if card is not None else None, metadata)

    async def _direct(self, message: MessageRow, body: Mapping[str, Any]) -> None:
        try:
            await self._say(message.target, body)
        except SlackProblem as problem:
            if problem.code not in LEFT:
                raise
            # Nobody reads it any more, and it is in the thread of the card as well.
            log.warning("direct_message_dropped", request=message.request_id, why=problem.code)

    async def _say(
        self,
        target: str,
        body: Mapping[str, Any],
        thread: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Post a text with its blocks, or without them if Slack does not take those: a message that
        can never be posted would hold back everything behind it."""
        await self._pace.turn(target)
        try:
            await self._slack.post(
                target, body["text"], blocks=body["blocks"], thread=thread, metadata=metadata
            )
        except SlackProblem as problem:
            if problem.code not in BAD_PAYLOAD:
                raise
            log.error("message_rejected_by_slack", target=target, why=problem.code)
            await self._slack.post(target, body["text"], thread=thread, metadata=metadata)

    async def _whisper(self, message: MessageRow, body: Mapping[str, Any]) -> None:
        if self._clock() - message.created_at > WHISPER_LIFE:
            return
        try:
            await self._slack.whisper(message.target, body["user"], body["text"])
        except SlackProblem as problem:
            if problem.code not in UNREACHABLE:
                raise
            await self._slack.post(body["user"], body["text"])


def _plain(message: Message) -> Message:
    """The same in the simplest block there is: better a card without buttons than none."""
    text = message.text[:2900]
    return Message(message.text, [{"type": "section", "text": {"type": "plain_text", "text": text}}])


def _metadata(request: Request, head: str) -> dict[str, Any] | None:
    """What lets an auditor, or a restored database, hold the channel against the history."""
    if request.state not in OUTCOMES:
        return None
    payload = {"request_id": request.id, "state": request.state.value, "audit_head": head}
    return {"event_type": EVENT_TYPE, "event_payload": payload}
