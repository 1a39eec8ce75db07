"""A Slack that keeps what was posted, knows who belongs to it, and is as unreliable as told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from bot.blocks.cards import approval_card, read_button
from bot.model import Person, Request
from bot.slack import Identity, Posted, Profile, Slack, SlackProblem
from tests.bot.builders import ALICE, CHANNEL, NOW, TEAM, shown, some_facts
from tests.simulation.schedule import ERIN, GUEST, LIST, OUTSIDER, STRANGER, WHO_MAY, Departure, Effect, Leave

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

T = TypeVar("T")

ME = Identity(TEAM, "U0BOT", "B0BOT", "A0BOT")
TIMEOUT = 10.0
FACTS = some_facts()
ABOUT = re.compile(r"Request `([0-9a-f]{8})`")


@dataclass
class Message:
    """A message as it is now, and how it came here."""

    ts: str
    at: float
    channel: str
    text: str
    blocks: list[dict[str, Any]]
    thread: str
    metadata: Mapping[str, Any]
    by: Process | None
    lost: bool
    """Whoever posted it was not told that it had arrived."""
    buttons: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Request and digest of each button, as it was over time, by its action."""
    is_deleted: bool = False
    about: str = ""
    """The short ID of the request whose card this is; empty when it is none."""

    @property
    def mark(self) -> str:
        return str(self.metadata.get("event_payload", {}).get("message", ""))

    def paint(
        self, text: str, blocks: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any] | None
    ) -> None:
        self.text, self.blocks = text, [dict(block) for block in blocks]
        self.metadata = metadata or self.metadata
        for block in self.blocks:
            for button in block.get("elements", ()):
                if found := read_button(button.get("value")):
                    self.buttons.setdefault(button["action_id"], []).append(found)


class Workspace:
    """The truth: who belongs to it and since when, and what was posted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.messages: dict[str, Message] = {}
        self.whispers = 0
        members = frozenset({ALICE, *WHO_MAY} - {ERIN})
        self._roster: list[tuple[float, frozenset[Person], frozenset[Person]]] = [(0.0, members, frozenset())]
        """Since when who is in the group, and who is deactivated."""

    # --- people -----------------------------------------------------------------------------------

    def lose(self, departure: Departure) -> None:
        self.world.say(f"{departure.who.user} {departure.how.value}")
        self._change(departure, is_back=False)
        if departure.back_after:
            self.world.later(departure.back_after, self._return, departure)

    def _return(self, departure: Departure) -> None:
        self.world.say(f"{departure.who.user} is back")
        self._change(departure, is_back=True)

    def _change(self, departure: Departure, *, is_back: bool) -> None:
        _, members, gone = self._roster[-1]
        who = frozenset({departure.who})
        if departure.how is Leave.GROUP:
            members = members | who if is_back else members - who
        else:
            gone = gone - who if is_back else gone | who
        self._roster.append((self.world.loop.now, members, gone))

    def may_approve(self, person: Person, since: float) -> bool:
        """Whether this person was a full member and on the list at some moment since then."""
        if person in {GUEST, STRANGER, OUTSIDER}:
            return False
        ends = [at for at, _, _ in self._roster[1:]] + [float("inf")]
        return any(
            (person in members or person.user in LIST) and person not in gone and end >= since
            for (_, members, gone), end in zip(self._roster, ends, strict=True)
        )

    def is_present(self, person: Person, since: float) -> bool:
        """Whether this person belonged to the workspace at some moment since then."""
        ends = [at for at, _, _ in self._roster[1:]] + [float("inf")]
        return any(
            person not in gone and end >= since for (_, _, gone), end in zip(self._roster, ends, strict=True)
        )

    def profile(self, user: str) -> Profile:
        person = Person(TEAM, user)
        if user not in {one.user for one in (ALICE, *WHO_MAY, GUEST, STRANGER)}:
            raise SlackProblem("user_not_found")
        return Profile(TEAM, person in self._roster[-1][2], False, person == GUEST, False)

    def group_members(self) -> frozenset[str]:
        return frozenset(person.user for person in self._roster[-1][1])

    # --- messages ---------------------------------------------------------------------------------

    def post(self, by: Process, channel: str, text: str, lost: bool, arguments: Mapping[str, Any]) -> Message:
        now = self.world.loop.now
        ts = f"{NOW.timestamp() + now + len(self.messages) * 1e-6:.6f}"
        metadata = arguments["metadata"] or {}
        message = Message(ts, now, channel, text, [], arguments["thread"] or "", metadata, by, lost)
        message.paint(text, arguments["blocks"] or [], arguments["metadata"])
        if channel == CHANNEL and not message.thread and (found := ABOUT.search(shown(message.blocks))):
            message.about = found[1]
        self.messages[ts] = message
        self.world.say(f"Slack shows in {channel}{' (thread)' if message.thread else ''}: {_brief(text)}")
        self.world.checks.was_told(message)
        return message

    def update(self, ts: str, text: str, arguments: Mapping[str, Any]) -> None:
        message = self.messages.get(ts)
        if message is None or message.is_deleted:
            raise SlackProblem("message_not_found")
        message.paint(text, arguments["blocks"], arguments["metadata"])
        self.world.say(f"Slack shows on the card: {_brief(text)}")
        self.world.checks.was_told(message)

    def see(self, request: Request) -> None:
        """Where Slack is not told: the card as it would be, at once."""
        painted = approval_card(request, FACTS)
        ts = f"{NOW.timestamp() + 1:.0f}.{request.short_id}"
        if ts not in self.messages:
            at = self.world.loop.now
            self.messages[ts] = Message(ts, at, CHANNEL, "", [], "", {}, None, False, about=request.short_id)
        self.messages[ts].paint(painted.text, painted.blocks, None)

    def cards(self, order: str = "") -> list[Message]:
        """All cards, or those about one order, the oldest first."""
        return [m for m in self.messages.values() if not m.is_deleted and m.about and order in m.text]


class Connection(Slack):
    """Slack as one process reaches it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = process.world
        self.workspace = process.world.workspace
        self.clock_offset = None
        self.heard: dict[str, float] = {}
        """When Slack last said something about a person or a group."""

    async def whoami(self) -> Identity:
        return await self._ask("auth.test", lambda: ME)

    async def profile(self, user: str) -> Profile:
        return await self._ask_about(user, lambda: self.workspace.profile(user))

    async def group_members(self, group: str) -> frozenset[str]:
        return await self._ask_about(group, self.workspace.group_members)

    async def _ask_about(self, name: str, read: Callable[[], T]) -> T:
        def read_now() -> T:
            answer = read()
            self.heard[name] = self._world.loop.now
            return answer

        return await self._ask(f"about {name}", read_now)

    async def history(
        self, channel: str, *, limit: int = 200, oldest: str | None = None, latest: str | None = None
    ) -> list[Posted]:
        def read() -> list[Posted]:
            found = [m for m in self._kept(channel, oldest) if not m.thread and m.ts < (latest or "9")]
            return [_posted(message) for message in reversed(found)][:limit]

        return await self._ask("conversations.history", read)

    async def replies(
        self, channel: str, ts: str, *, limit: int = 1000, oldest: str | None = None
    ) -> list[Posted]:
        def read() -> list[Posted]:
            if ts not in self.workspace.messages or self.workspace.messages[ts].is_deleted:
                raise SlackProblem("thread_not_found")
            thread = [m for m in self._kept(channel, oldest) if m.thread == ts]
            return [_posted(message) for message in (self.workspace.messages[ts], *thread)][:limit]

        return await self._ask("conversations.replies", read)

    def _kept(self, channel: str, oldest: str | None) -> list[Message]:
        kept = self.workspace.messages.values()
        return [m for m in kept if m.channel == channel and not m.is_deleted and m.ts > (oldest or "")]

    async def post(
        self,
        channel: str,
        text: str,
        *,
        blocks: Sequence[Mapping[str, Any]] | None = None,
        thread: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> tuple[str, str]:
        arguments = {"blocks": blocks, "thread": thread, "metadata": metadata}

        def take(lost: bool) -> tuple[str, str]:
            return channel, self.workspace.post(self._process, channel, text, lost, arguments).ts

        return await self._say("chat.postMessage", take)

    async def update(
        self,
        channel: str,
        ts: str,
        text: str,
        *,
        blocks: Sequence[Mapping[str, Any]],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        arguments = {"blocks": blocks, "metadata": metadata}
        await self._say("chat.update", lambda _: self.workspace.update(ts, text, arguments))

    async def whisper(self, channel: str, user: str, text: str) -> None:
        def take(_: bool) -> None:
            self.workspace.whispers += 1

        await self._say("chat.postEphemeral", take)

    # --- on the way -------------------------------------------------------------------------------

    async def _ask(self, method: str, read: Callable[[], T]) -> T:
        """A call that only reads."""
        await self._process.at(Effect.ASK)
        await self._trouble(method)
        await asyncio.sleep(self._world.dice.between(method, 0.02, 0.3))
        answer = read()
        self.clock_offset = timedelta(seconds=self._world.ahead)  # Slack's clock is right
        await self._process.at(Effect.ASKED)
        return answer

    async def _say(self, method: str, take: Callable[[bool], T]) -> T:
        """A call that people see. What is on its way arrives even if the caller dies."""
        world = self._world
        await self._process.at(Effect.CALL)
        await self._trouble(method)
        lost = world.dice.roll(f"{method} lost") < world.schedule.slack_trouble / 3
        arrived: asyncio.Future[T] = world.loop.create_future()

        def arrive() -> None:
            try:
                answer = take(lost)
            except SlackProblem as problem:
                arrived.set_exception(problem) if not arrived.cancelled() else None
            else:
                arrived.set_result(answer) if not arrived.cancelled() else None

        world.later(world.dice.between(method, 0.05, 0.5), arrive)
        answer = await arrived
        await self._process.at(Effect.CALLED)
        if lost:
            world.tally["Slack took a message and the answer was lost"] += 1
            raise SlackProblem("no_answer_ServerDisconnectedError")
        return answer

    async def _trouble(self, method: str) -> None:
        """What comes back instead of an answer, with nothing done."""
        world, dice = self._world, self._world.dice
        if any(world.loop.now in window for window in world.schedule.slack_away):
            world.tally["Slack was away"] += 1
            await asyncio.sleep(dice.between(method, 0.0, 1.0))
            raise SlackProblem("no_answer_ClientConnectorError")
        if dice.roll(f"{method} trouble") >= world.schedule.slack_trouble:
            return
        kind = dice.pick(f"{method} kind", ["ratelimited", "http_503", "internal_error", "timeout"])
        world.tally[f"Slack answered {kind}"] += 1
        if kind == "ratelimited":
            raise SlackProblem("ratelimited", timedelta(seconds=dice.pick(method, [1, 2, 30])))
        if kind == "timeout":
            await asyncio.sleep(TIMEOUT)
            raise SlackProblem("no_answer_TimeoutError")
        raise SlackProblem(kind)


def _posted(message: Message) -> Posted:
    payload = message.metadata.get("event_payload", {})
    kind = str(message.metadata.get("event_type", ""))
    return Posted(message.ts, message.text, True, message.thread, kind, json.loads(json.dumps(payload)))


def _brief(text: str) -> str:
    line = text.replace("\n", " / ")
    return line if len(line) < 160 else f"{line[:157]}..."
