"""The workspace: who is there, what was said, and what the bot did about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

from sandbox.slack import example, interactions
from sandbox.slack.delivery import Delivery
from sandbox.slack.faults import Faults
from sandbox.slack.manifest import Manifest
from sandbox.slack.model import Ack, Call, Channel, Group, Json, Member, Message
from sandbox.slack.person import Person
from sandbox.slack.response_urls import ResponseUrls
from sandbox.slack.views import ViewBook
from sandbox.wire import Wire

T = TypeVar("T")
MANIFEST = Path(__file__).parents[2] / "manifest.yml"


class NeverHappened(AssertionError):
    """Something was waited for in vain. The message shows what there was instead."""


class Workspace:
    """One team with one app in it. Everything runs in one event loop; nothing here is thread-safe."""

    team_id = example.TEAM
    team_name = "Northwind"
    team_domain = "northwind"
    app_id = "A0SANDBOX"
    bot_id = "B0SANDBOX"
    bot_user = example.BOT_USER

    def __init__(
        self,
        manifest: Json | Path | str = MANIFEST,
        clock: Callable[[], float] = time.time,
        ack_timeout: float = 3.0,
    ) -> None:
        self.manifest = Manifest.load(manifest)
        self.clock = clock
        self.ack_timeout = ack_timeout
        self.bot_token = "xoxb-0000000000-sandbox-bot"  # noqa: S105 - a pretend token for a pretend Slack
        self.app_token = "xapp-1-A0SANDBOX-0000000000-sandbox"  # noqa: S105
        self.signing_secret = "0123456789abcdef0123456789abcdef"  # noqa: S105
        self.verification_token = "sandbox-verification"  # noqa: S105
        self.clock_offset = 0.0  # seconds by which `Date` of the Web API is ahead of our clock
        self.rate_limits = False  # one message a second and channel, as Slack documents it
        self.burst = 1  # how many it takes at once before that; no number is documented
        self.calls: list[Call] = []
        self.problems: list[str] = list(self.manifest.problems)
        self.members = {m.id: m for m in example.members(self.manifest.bot_name)}
        self.groups = {g.id: g for g in example.groups()}
        self.channels = {c.id: c for c in example.channels()}
        self.faults = Faults()
        self.wire = Wire(clock)
        self.wire.secrets |= {self.bot_token, self.app_token, self.signing_secret, self.verification_token}
        self.views = ViewBook(clock)
        self.delivery = Delivery(self)
        self.response_urls = ResponseUrls(clock)
        self.version = 0
        self._people: dict[str, Person] = {}
        self._waiting: set[asyncio.Event] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._last_ts = 0

    # Looking around

    def person(self, who: str) -> Person:
        member = self.member(who)
        return self._people.setdefault(member.id, Person(self, member))

    def member(self, who: str) -> Member:
        for member in self.members.values():
            if who.lower().lstrip("@") in (member.id.lower(), member.name):
                return member
        raise KeyError(f"nobody is called {who!r}")

    def channel(self, which: str) -> Channel:
        """By id or name; a person's id or name is the bot's DM with them."""
        for channel in self.channels.values():
            if which.lstrip("#") in (channel.id, channel.name):
                return channel
        return self.dm(self.member(which).id)

    def dm(self, user: str) -> Channel:
        channel_id = "D" + user[1:]
        if channel_id not in self.channels:
            members = [user, self.bot_user]
            self.channels[channel_id] = Channel(channel_id, "directmessage", members, dm_with=user)
        return self.channels[channel_id]

    def name_of(self, thing: str) -> str:
        if thing in self.members:
            return self.members[thing].real_name
        if thing in self.channels:
            return self.channels[thing].name
        return self.groups[thing].handle if thing in self.groups else thing

    def transcript(self, channel: str | None = None) -> str:
        """What people see in a channel, or everywhere: cards, replies indented, who said it."""
        if channel is not None:
            return transcript_of(self.channel(channel), self.name_of)
        return "\n".join(transcript_of(c, self.name_of) for c in self.channels.values())

    # Waiting

    def changed(self) -> None:
        self.version += 1
        for event in self._waiting:
            event.set()

    async def wait_until(self, predicate: Callable[[], T | None], timeout: float = 10) -> T:  # noqa: ASYNC109
        """The first truthy answer. Asked again at every change; looking for what is not there yet is fine."""
        event, trouble = asyncio.Event(), ""
        self._waiting.add(event)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    event.clear()
                    try:
                        if answer := predicate():
                            return answer
                    except (LookupError, AttributeError, StopIteration) as error:
                        trouble = f"\nlast error: {error!r}"
                    await event.wait()
        except TimeoutError:
            problems = "".join(f"\nproblem: {problem}" for problem in self.problems)
            raise NeverHappened(f"not within {timeout} s:\n{self.transcript()}{problems}{trouble}") from None
        finally:
            self._waiting.discard(event)

    async def bot_connected(self, timeout: float = 10) -> None:  # noqa: ASYNC109
        """Return once the bot can be reached, by socket or at its request URL."""
        if self.delivery.request_url:
            await self.delivery.verify_url(timeout)
        else:
            await self.wait_until(lambda: self.delivery.hub.connected, timeout)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let something happen on the side, until the workspace stops."""
        try:
            task = asyncio.get_running_loop().create_task(work)
        except RuntimeError:  # arranged before any loop runs: nobody can be listening yet
            work.close()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.delivery.close()

    # What is recorded

    def problem(self, text: str) -> None:
        self.problems.append(text)
        self.changed()

    def now(self) -> float:
        """The time of this Slack, as its answers show it."""
        return self.clock() + self.clock_offset

    def next_ts(self) -> str:
        """A message's id is its time, never twice."""
        self._last_ts = max(self._last_ts + 1, int(self.clock() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def post(
        self, channel: Channel, user: str, text: str, *, blocks: Iterable[Json] = (), **more: Any
    ) -> Message:
        message = Message(channel.id, self.next_ts(), user, text, list(blocks), names=self.name_of, **more)
        if message.only_for:
            channel.ephemerals.append(message)
        elif message.thread_ts and (top := channel.thread_top(message.thread_ts)):
            top.thread.append(message)
            if top in channel.deleted:  # a thread keeps its place although its top is gone
                channel.deleted.remove(top)
                channel.messages.append(top)
                channel.messages.sort(key=lambda m: m.ts)
        else:
            channel.messages.append(message)
        self.changed()
        return message

    # Where the bot is, and what fails

    def deliver_to_http(self, request_url: str) -> None:
        self.delivery.request_url = request_url

    async def disconnect_sockets(self, reason: str = "refresh_requested") -> None:
        await self.delivery.hub.disconnect(reason)

    def fail_next(
        self,
        method: str,
        error: str = "internal_error",
        *,
        retry_after: int | None = None,
        status: int | None = None,
        times: int = 1,
    ) -> None:
        """The next calls of `method` ("*": of any) fail.

        `error` is a Slack error name, "ratelimited", "hang" (until `release`), "drop" (not done, connection
        closed) or "lose_answer" (done, connection closed). A `status` of 500 and up is answered as such.
        """
        self.faults.plan(method, error, retry_after, status, times)

    def release(self) -> None:
        self.faults.release()

    def outage(self, on: bool = True) -> None:
        self.faults.outage = on

    # What administrators and other people do meanwhile

    def set_group(self, group: str, users: list[str]) -> None:
        found = self.groups.setdefault(group, Group(group, group.lower(), []))
        before, found.users = found.users, [self.member(u).id for u in users]
        added = [u for u in found.users if u not in before]
        removed = [u for u in before if u not in found.users]
        self.emit(interactions.group_changed(self, found, added, removed))

    def deactivate(self, who: str) -> None:
        member = self.member(who)
        member.deleted = True
        self.emit(interactions.user_changed(self, member))

    def archive(self, channel: str) -> None:
        found = self.channel(channel)
        found.is_archived = True
        self.emit(interactions.channel_archived(self, found))

    def remove_bot(self, channel: str) -> None:
        self.remove_member(channel, self.bot_user)

    def remove_member(self, channel: str, who: str) -> None:
        found, member = self.channel(channel), self.member(who)
        found.members = [m for m in found.members if m != member.id]
        self.emit(interactions.left_channel(self, found, member))

    def add_member(self, channel: str, who: str) -> None:
        found, member = self.channel(channel), self.member(who)
        if member.id not in found.members:
            found.members.append(member.id)
        self.emit(interactions.joined_channel(self, found, member))

    def delete_message(self, message: Message) -> None:
        channel = self.channel(message.channel)
        found = channel.find(message.ts)
        if found is None:
            raise LookupError(f"no message {message.ts} in {channel.id}")
        found.deleted = True
        if found in channel.messages and not found.thread:
            channel.messages.remove(found)
            channel.deleted.append(found)
        for top in channel.messages:
            if found in top.thread:
                top.thread.remove(found)
        self.changed()

    def emit(self, event: Json, kind: str | None = None) -> None:
        """Send an event, if the app asked for its kind. Slack sends no other."""
        self.changed()
        if (kind or event["type"]) in self.manifest.events:
            self.spawn(self.delivery.event(interactions.event_callback(self, event)))

    # Forged

    async def raw_interaction(self, payload: Json) -> Ack:
        """Send an interaction as it is given, properly signed or enveloped."""
        return (await self.delivery.send("interactive", payload, judged=False)).ack()

    async def raw_command(self, form: Json) -> Ack:
        return (await self.delivery.send("slash_commands", form, judged=False)).ack()


def transcript_of(channel: Channel, names: Callable[[str], str]) -> str:
    title = f"DM with {names(channel.dm_with)}" if channel.dm_with else f"#{channel.name}"
    lines = [f"== {title} =="]
    for message in channel.messages:
        lines += _lines(message, names, "")
        lines += [line for reply in message.thread for line in _lines(reply, names, "    ")]
    for message in channel.ephemerals:
        only = f" (only {names(message.only_for or '')} sees this)"
        lines += _lines(message, names, "", only)
    return "\n".join(lines)


def _lines(message: Message, names: Callable[[str], str], indent: str, note: str = "") -> list[str]:
    edited = f" (edited {message.edited_count}x)" if message.edited_count else ""
    said = "(deleted)" if message.deleted else message.readable
    body = [f"{indent}  {line}" for line in said.splitlines()]
    return [f"{indent}{names(message.user)}{note}{edited}:", *body]
