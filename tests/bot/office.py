"""A database, a pretend workspace, and an outbox between them: for tests of what reaches Slack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from bot import announce
from bot.delivery import Pace
from bot.events import Approved, Denied, Event, OrderRead, QuorumReached, Requested
from bot.model import Person, digest
from bot.outbox import Outbox, Retry, for_good
from bot.slack import Slack
from bot.store import Store, Unit
from bot.store.messages import OwedMessage
from sandbox.slack.example import TEAM
from sandbox.slack.model import Message
from sandbox.slack.server import SlackServer
from sandbox.slack.workspace import Workspace
from tests.bot.builders import an_order, some_facts
from tests.bot.stores import Clock, on_commit, opened
from tests.conftest import NoPace
from tests.gateway import Gateway, gateway_to

CHANNEL = "C0APPROVALS"
FACTS = some_facts()
ALICE, BOB, CAROL = (Person(TEAM, f"U0{name}") for name in ("ALICE", "BOB", "CAROL"))
RETRY = Retry(timedelta(seconds=1), timedelta(seconds=60))
MINUTE = timedelta(minutes=1)


class Office:
    """A database, a workspace, and an outbox that delivers from one to the other."""

    def __init__(
        self, store: Store, clock: Clock, workspace: Workspace, slack: Slack, gateway: Gateway | None = None
    ) -> None:
        self.store = store
        self.clock = clock
        self.workspace = workspace
        self.slack = slack
        self._gateway = gateway
        self._committed = asyncio.Event()
        on_commit(store, self._committed.set)
        self.outbox = self.new_outbox()

    def new_outbox(self, pace: Pace | None = None, tenure: Callable[[], int] = for_good) -> Outbox:
        """As after a restart: whatever was only remembered is forgotten."""
        facts, pace = {"digicert": FACTS}, pace or NoPace()
        outbox = self.outbox = Outbox(self.store, self.slack, facts, RETRY, pace, self.clock, tenure=tenure)
        self.store.on_news(lambda news: outbox.wake_for(news.owed_in, news.awaited_in))
        return self.outbox

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """What is owed by the time this begins may have been under way; what comes later was not."""
        recalled, recall = asyncio.Event(), self.outbox._recall

        async def and_say_so() -> None:
            await recall()
            recalled.set()

        with patch.object(self.outbox, "_recall", and_say_so):
            running = asyncio.create_task(self.outbox.run())
            await recalled.wait()
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await self.outbox.drain(5)

    @property
    def gateway(self) -> Gateway:
        assert self._gateway is not None
        return self._gateway

    # What happens

    async def begin(self, request_id: str = "r1", channel: str = CHANNEL) -> None:
        """A new request, looked up: its card is owed, and the call to those who decide."""
        await self.store.write(lambda unit: self._begin(unit, request_id, channel))
        await self.happen(request_id, OrderRead(an_order()))

    async def begin_and_deny(self, reasons: Mapping[str, str]) -> None:
        """Many requests at once, each denied for its own reason."""

        def work(unit: Unit) -> None:
            for request_id, reason in reasons.items():
                self._begin(unit, request_id)
                for event in (OrderRead(an_order()), Denied(BOB, reason)):
                    self._happen(unit, request_id, event)

        await self.store.write(work)

    async def happen(self, request_id: str, *events: Event) -> None:
        """As the workflow saves it: what it means is owed in the same transaction."""
        await self.store.write(lambda unit: self._happen(unit, request_id, *events))

    def _begin(self, unit: Unit, request_id: str, channel: str = CHANNEL) -> None:
        expires = self.clock() + timedelta(hours=24)
        event = Requested(
            TEAM, channel, "digicert", "acct", "123", request_id, ALICE, "twice", 2, ("S0ONCALL",), expires
        )
        request = unit.begin(request_id, event, "123")
        owe(unit, announce.owed(None, request, [event], FACTS))

    def _happen(self, unit: Unit, request_id: str, *events: Event) -> None:
        before = unit.request(request_id)
        assert before is not None
        after = unit.save(before, events)
        owe(unit, announce.owed(before, after, events, FACTS))

    async def approve(self, request_id: str, *people: Person) -> None:
        for person in people:
            request = await self.store.read(lambda unit: unit.request(request_id))
            assert request is not None
            await self.happen(request_id, Approved(person, digest(request), True, "on the list"))

    async def begin_and_approve(self, request_id: str = "r1") -> None:
        """From here on a reason to hold it is on the card."""
        await self.begin(request_id)
        await self.approve(request_id, BOB, CAROL)
        await self.happen(request_id, QuorumReached())

    async def whisper(self, person: Person, text: str, channel: str = CHANNEL) -> None:
        await self.store.write(lambda unit: owe(unit, [announce.whisper(channel, person, text)]))

    def later(self, by: timedelta = MINUTE) -> None:
        self.clock.advance(by)
        self.outbox.wake()

    # What is there

    async def until(self, predicate: Callable[[Unit], bool], within: float = 10) -> None:
        async with asyncio.timeout(within):
            while True:
                self._committed.clear()
                if await self.store.read(predicate):
                    return
                await self._committed.wait()

    async def next_commit(self) -> bool:
        """Whether something is owed still, after something was written down."""
        self._committed.clear()
        if not await self.waiting():
            return False
        async with asyncio.timeout(10):
            await self._committed.wait()
        return bool(await self.waiting())

    async def settled(self, within: float = 10) -> None:
        """Everything that is due was tried."""
        await self.until(lambda unit: all(message.due > self.clock() for message in unit.owed()), within)

    async def delivered(self, within: float = 10) -> None:
        await self.until(lambda unit: unit.owed() == [], within)

    async def waiting(self) -> list[OwedMessage]:
        return await self.store.read(lambda unit: unit.owed())

    @property
    def cards(self) -> list[Message]:
        return self.workspace.channel(CHANNEL).messages

    def told(self, text: str, card: int = 0) -> list[Message]:
        """The replies below a card that say so."""
        return [reply for reply in self.cards[card].thread if text in reply.text]

    def posts_to(self, target: str) -> list[bool]:
        """Whether each post to a channel or a person was taken."""
        posts = [call for call in self.workspace.calls if call.method == "chat.postMessage"]
        return [call.ok for call in posts if call.args["channel"] == target]

    def calls(self, method: str) -> list[bool]:
        """Whether each call of a method was taken."""
        return [call.ok for call in self.workspace.calls if call.method == method]


def owe(unit: Unit, messages: Sequence[announce.Owed]) -> None:
    for owed in messages:
        unit.owe(owed.lane, owed.kind, request_id=owed.request_id, target=owed.target, body=owed.body)
        unit.hurry([owed.lane] if owed.is_awaited else [])


@asynccontextmanager
async def open_office(folder: Path, with_gateway: bool = False) -> AsyncIterator[Office]:
    """With a gateway, Slack's answers can be changed on their way: `office.gateway`."""
    clock = Clock()
    workspace = Workspace(clock=lambda: clock().timestamp())
    server = SlackServer(workspace)
    await server.start()
    async with AsyncExitStack() as opened_here:
        opened_here.push_async_callback(server.stop)
        url = server.api_url
        gateway = await opened_here.enter_async_context(gateway_to(url)) if with_gateway else None
        slack = Slack(workspace.bot_token, gateway.url if gateway else url)
        opened_here.push_async_callback(slack.close)
        store = opened_here.enter_context(opened(folder / "bot.db", clock))
        yield Office(store, clock, workspace, slack, gateway)
    assert workspace.problems == []
