"""What one owed message means in calls to Slack.

Each post carries a mark of its own in its metadata. A message that Slack may have taken already, because
the answer was lost or a process died before it was noted, is looked for by its mark before it is posted
again.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from bot.announce import Kind
from bot.batch.rules import Batch, is_done
from bot.blocks.batch_card import batch_card
from bot.blocks.batch_words import counts
from bot.blocks.cards import Message, approval_card
from bot.blocks.text import Block, cut
from bot.logs import get_logger
from bot.model import OUTCOMES, Person, Request
from bot.slack import AUTH_ERRORS, BAD_PAYLOAD, GONE_ERRORS, UNREACHABLE, Posted, Slack, SlackProblem
from bot.store import Store, Unit
from bot.store.chain import Head
from bot.store.messages import OwedMessage, Place
from providers.contract import Facts

log = get_logger(__name__)

WHISPER_LIFE = timedelta(minutes=10)
"""A private answer that comes later than this confuses more than it tells."""
LONGEST_SILENCE = timedelta(hours=1)
LEFT = frozenset({"channel_not_found", "user_not_found", "user_disabled", "messages_tab_disabled"})
"""What Slack says about a direct message to somebody who is not there any more, or whom this app may write
none: its messages tab is turned off."""
OUTCOME, NOTE = "order_cancellation", "order_cancellation_note"
"""The types of the metadata: of what an auditor reads, and of everything else."""
PLAIN_MAX = 2900
EARLIER = timedelta(minutes=10)
"""How far our clock may be ahead of Slack's, for a post to be found."""
LOOKED_THROUGH = 1000
LOOKS = 3
"""How often a message that cannot be looked for is held back before it is posted all the same."""

Then = Callable[[Unit], None]
"""What to write down in the transaction that also notes that a message was delivered."""
Paint = Callable[[Person], Awaitable[Block]]
"""What somebody's App Home is to show now."""


async def an_empty_home(_person: Person) -> Block:
    return {"type": "home", "blocks": []}


class Pace(Protocol):
    async def turn(self, channel: str) -> None:
        """Return when one more message may be posted to `channel`."""
        ...


class Silenced(Exception):
    """Slack asked for silence there, so nothing was sent."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


class Silences:
    """Where Slack asked for silence, and until when. Other places are not affected."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], datetime] = {}

    @contextmanager
    def heeded(self, method: str, where: str = "") -> Iterator[None]:
        """Around one call. Raises `Silenced` instead of making it."""
        now = self._clock()
        until = self._until.get((method, where), now)
        if now < until <= now + LONGEST_SILENCE:  # beyond that, the clock was set back
            raise Silenced(until)
        try:
            yield
        except SlackProblem as problem:
            if problem.retry_after is not None:
                self._until[method, where] = self._clock() + problem.retry_after
            raise


@dataclass(frozen=True, slots=True)
class Delivery:
    """Posts, updates and whispers. What Slack refuses is raised as `SlackProblem`."""

    store: Store
    slack: Slack
    facts: Mapping[str, Facts]
    pace: Pace
    clock: Callable[[], datetime]
    silences: Silences
    home: Paint

    async def send(self, message: OwedMessage, look_first: bool) -> Then:
        """Returns what is to be written down about it. `look_first`: it may be there already."""
        body: dict[str, Any] = json.loads(message.body) if message.body else {}
        match Kind(message.kind):
            case Kind.CARD:
                return await self._paint(message, look_first)
            case Kind.HOME:
                return await self._home(message, body)
            case Kind.REPLY | Kind.NOTICE:
                await self._reply(message, body, look_first)
            case Kind.DIRECT:
                await self._direct(message, body)
            case Kind.WHISPER:
                await self._whisper(message, body)
        return _nothing

    async def _home(self, message: OwedMessage, body: Mapping[str, Any]) -> Then:
        """Paint somebody's App Home. Whoever left does not look any more."""
        last = await self.store.read(lambda unit: unit.last_owed_in(message.lane))
        view = await self.home(Person(body["team"], message.target))
        try:
            with self.silences.heeded("views.publish", message.target):
                await self.slack.publish_home(message.target, view)
        except SlackProblem as problem:
            if problem.code not in LEFT | {"invalid_arguments", "not_enabled"}:
                raise
            log.warning("home_not_painted", why=problem.code)
        return lambda unit: unit.painted(message.lane, last)

    # --- the card ---------------------------------------------------------------------------------

    async def _paint(self, message: OwedMessage, look_first: bool) -> Then:
        """Post or update the card, from the request as it is now."""
        request_id = message.request_id or ""

        def look(unit: Unit) -> tuple[Request | None, Place | None, int, Head | None]:
            request = unit.request(request_id)
            # From the first send on a restored database would lack something, and send again.
            is_told = request and (request.state in OUTCOMES or request.attempts)
            head = unit.head() if is_told else None
            # Whoever clicks on a card whose place was not noted yet notes it.
            card = message.card or unit.card(request_id)
            return request, card, unit.last_owed_card(request_id), head

        request, card, last, head = await self.store.read(look)
        if request is None:
            return await self._paint_batch(message, look_first)
        painted = approval_card(request, self.facts[request.provider])
        outcome = None if head is None else _outcome(message, request, head)
        place = await _or_plainly(
            painted, lambda shown: self._show(message, request, card, shown, outcome, look_first)
        )
        return _shown(message, card, place, last)

    async def _paint_batch(self, message: OwedMessage, look_first: bool) -> Then:
        """The same for several orders at once. While they are carried out there is something new all the
        time: the card shows it about once a second."""
        batch_id = message.request_id or ""
        await self.pace.turn(f"progress of {batch_id}")
        batch, card, last, head = await self.store.read(
            lambda unit: (
                _with_lines(unit, batch_id),
                message.card or unit.card(batch_id),
                unit.last_owed_card(batch_id),
                unit.head(),
            )
        )
        if batch is None:
            return _nothing
        asked, lines = batch
        painted = batch_card(asked, lines, self.facts[asked.asked.provider])
        outcome = _outcome_of_all(message, asked, lines, head)
        place = await _or_plainly(
            painted, lambda shown: self._show(message, asked, card, shown, outcome, look_first)
        )
        return _shown(message, card, place, last)

    async def _show(
        self,
        message: OwedMessage,
        request: Request | Batch,
        card: Place | None,
        painted: Message,
        outcome: Mapping[str, Any] | None,
        look_first: bool,
    ) -> Place:
        """Returns where the card is now."""
        if card is not None:
            try:
                await self._update(card.channel, card.ts, painted, outcome)
                return card
            except SlackProblem as problem:
                if problem.code not in GONE_ERRORS:
                    raise
                # Somebody deleted the card. The request still needs one.
        if look_first and (found := await self._find(message, request.channel)):
            await self._update(request.channel, found.ts, painted, outcome)  # it may show what was true then
            return Place(request.channel, found.ts)
        metadata = outcome or _marked(message)
        return Place(*await self._post(request.channel, painted.text, painted.blocks, metadata))

    async def _update(
        self, channel: str, ts: str, painted: Message, metadata: Mapping[str, Any] | None
    ) -> None:
        with self.silences.heeded("chat.update"):
            await self.slack.update(channel, ts, painted.text, blocks=painted.blocks, metadata=metadata)

    # --- words ------------------------------------------------------------------------------------

    async def _reply(self, message: OwedMessage, body: Mapping[str, Any], look_first: bool) -> None:
        thread = message.card.ts if message.card is not None else None
        if look_first and await self._find(message, message.target, thread):
            return
        became = None
        if body.get("outcome"):
            became = await self.store.read(lambda unit: _what_became(unit, message))
        await self._say(message.target, body, thread, became or _marked(message))

    async def _direct(self, message: OwedMessage, body: Mapping[str, Any]) -> None:
        try:
            await self._say(message.target, body)
        except SlackProblem as problem:
            if problem.code not in LEFT:
                raise
            # Nobody reads it any more, and it is in the thread of the card as well.
            log.warning("direct_message_dropped", request=message.request_id, why=problem.code)

    async def _whisper(self, message: OwedMessage, body: Mapping[str, Any]) -> None:
        if self.clock() - message.created_at > WHISPER_LIFE:
            return
        try:
            with self.silences.heeded("chat.postEphemeral", message.target):
                await self.slack.whisper(message.target, body["user"], body["text"])
        except SlackProblem as problem:
            if problem.code not in UNREACHABLE:
                raise
            await self._post(body["user"], body["text"])

    async def _say(
        self,
        target: str,
        body: Mapping[str, Any],
        thread: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Post a text with its blocks, or without them if Slack does not take those: a message that
        can never be posted would hold back everything behind it."""
        try:
            await self._post(target, body["text"], body["blocks"], metadata, thread)
        except SlackProblem as problem:
            if problem.code not in BAD_PAYLOAD:
                raise
            log.error("message_rejected_by_slack", target=target, why=problem.code)
            await self._post(target, cut(body["text"], PLAIN_MAX), None, metadata, thread)

    async def _post(
        self,
        target: str,
        text: str,
        blocks: list[dict[str, Any]] | None = None,
        metadata: Mapping[str, Any] | None = None,
        thread: str | None = None,
    ) -> tuple[str, str]:
        """Returns channel and timestamp."""
        await self.pace.turn(target)
        with self.silences.heeded("chat.postMessage", target):
            return await self.slack.post(target, text, blocks=blocks, thread=thread, metadata=metadata)

    # --- what may be there already ----------------------------------------------------------------

    async def _find(self, message: OwedMessage, channel: str, thread: str | None = None) -> Posted | None:
        """The message as Slack has it; None when it is not there, or nobody can tell."""
        since = f"{(message.created_at - EARLIER).timestamp():.6f}"
        try:
            with self.silences.heeded("conversations"):
                if thread is None:
                    posted = await self.slack.history(channel, limit=LOOKED_THROUGH, oldest=since)
                else:
                    posted = await self.slack.replies(channel, thread, limit=LOOKED_THROUGH, oldest=since)
        except SlackProblem as problem:
            if _may_be_seen_later(problem, message.tries):
                raise
            log.warning("message_not_looked_for", kind=message.kind, why=problem.code)
            return None
        mark = message.mark
        return next((one for one in posted if one.is_ours and one.payload.get("message") == mark), None)


def _nothing(_unit: Unit) -> None:
    """There is nothing to write down besides."""


def _shown(message: OwedMessage, known: Place | None, place: Place, last: int) -> Then:
    """Where a card is, if that was not known, and that it shows everything up to the message `last`."""
    request_id = message.request_id or ""

    def note(unit: Unit) -> None:
        if place != known:
            unit.set_card(request_id, place.channel, place.ts)
        unit.covered(request_id, last)

    return note


def may_be_there(problem: SlackProblem) -> bool:
    """Whether the call that ended so may have been carried out. Slack says of some of its own errors that
    it may; of those we do not know it is assumed."""
    code = problem.code
    never = AUTH_ERRORS | BAD_PAYLOAD | GONE_ERRORS | UNREACHABLE | LEFT | {"ratelimited", "is_inactive"}
    return code not in never and not code.startswith(("no_answer_ClientConnector", "restricted_action"))


def _may_be_seen_later(problem: SlackProblem, tries: int) -> bool:
    """Whether to wait rather than to post unseen. Without a scope, for example, it would be for ever."""
    if problem.code in {"missing_scope", "thread_not_found"}:
        return False
    lost = problem.code.startswith("no_answer_")
    return (
        lost
        or problem.is_auth
        or problem.retry_after is not None
        or (may_be_there(problem) and tries < LOOKS)
    )


async def _or_plainly(painted: Message, show: Callable[[Message], Awaitable[Place]]) -> Place:
    """What Slack does not take is shown without any layout."""
    try:
        return await show(painted)
    except SlackProblem as problem:
        if problem.code not in BAD_PAYLOAD:
            raise
        log.error("card_rejected_by_slack", why=problem.code)
        return await show(_plain(painted))


def _plain(message: Message) -> Message:
    """The same in the simplest block there is: better a card without buttons than none."""
    text = cut(message.text, PLAIN_MAX)
    return Message(text, [{"type": "section", "text": {"type": "plain_text", "text": text}}])


def _marked(message: OwedMessage) -> dict[str, Any]:
    return {"event_type": NOTE, "event_payload": {"message": message.mark}}


def _what_became(unit: Unit, message: OwedMessage) -> dict[str, Any] | None:
    """The metadata of an outcome, of one order or of several; None where there is none."""
    request = unit.request(message.request_id or "")
    if request is not None:
        return _outcome(message, request, unit.head()) if request.state in OUTCOMES else None
    batch = _with_lines(unit, message.request_id or "")
    return _outcome_of_all(message, *batch, unit.head()) if batch else None


def _outcome(message: OwedMessage, request: Request, head: Head) -> dict[str, Any]:
    """What lets an auditor, or a restored database, hold the channel against the history."""
    payload = {"request_id": request.id, "state": request.state.value, "audit_head": str(head)}
    return {"event_type": OUTCOME, "event_payload": payload | {"message": message.mark}}


def _with_lines(unit: Unit, batch_id: str) -> tuple[Batch, list[Request]] | None:
    batch = unit.batch(batch_id)
    return None if batch is None else (batch, unit.lines_of(batch))


def _outcome_of_all(
    message: OwedMessage, batch: Batch, lines: Sequence[Request], head: Head
) -> dict[str, Any] | None:
    """The same for several orders, as soon as one of them was sent: from then on a restored database would
    lack something. None before that."""
    found = counts(lines)
    if not is_done(found) and not any(line.attempts for line in lines):
        return None
    state = "executing" if not is_done(found) else next(iter(found)).value if len(found) == 1 else "several"
    ended = {one.value: [line.short_id for line in lines if line.state is one] for one in found}
    payload = {"request_id": batch.id, "state": state, "audit_head": str(head), "message": message.mark}
    return {"event_type": OUTCOME, "event_payload": payload | ({"lines": ended} if is_done(found) else {})}
