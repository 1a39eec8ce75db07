"""The town, and what people do in it under load: the same payloads to the bot and to a floor."""

from __future__ import annotations

import asyncio
import copy
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from sandbox.slack import interactions
from sandbox.slack.example import TEAM
from sandbox.slack.model import Json, Member, Message, Reply, View
from sandbox.slack.workspace import Workspace
from sandbox.town import CHANNEL, Town

QUIET = 0.5
"""Seconds without another call to Slack after which all is said."""
SETTLED = 120.0
"""Seconds after which what was waited for is not coming any more."""


@dataclass
class Stage:
    town: Town
    folder: Path

    @property
    def workspace(self) -> Workspace:
        return self.town.workspace

    def environment(self, database: str = "", **changes: str) -> dict[str, str]:
        """Of the bot. It logs what is wrong, and does not spend its time on the rest."""
        own = {"LOG_LEVEL": "WARNING", "REMIND_AFTER": "0"}
        given = self.town.environment(self.folder / f"{secrets.token_hex(4)}.db", **own)
        return given | ({"DATABASE_URL": database} if database else {}) | changes

    def talk_to(self, url: str) -> None:
        """From now on what people do goes to the process that listens there."""
        self.workspace.deliver_to_http(url)

    async def calm(self) -> None:
        """Return once nothing is said to Slack any more. Nobody tells when that is, so it takes a moment."""
        number = -1
        while number != len(self.workspace.calls):
            number = len(self.workspace.calls)
            await asyncio.sleep(QUIET)

    def newcomers(self, number: int) -> list[Member]:
        """So many more people who may ask: nobody may have more than twenty open requests."""
        known = len(self.workspace.members)
        return self.people([f"U0NEWCOMER{known + each}" for each in range(number)])

    def people(self, ids: Iterable[str]) -> list[Member]:
        """These are in the workspace from now on, by their Slack user IDs."""
        members = [Member(one, one.lower(), one.title(), TEAM) for one in ids]
        self.workspace.members |= {member.id: member for member in members}
        return members

    async def form(self, provider: str = "digicert", account: str = "") -> View:
        """A form as the bot opens it, to be sent any number of times. The bot must be listening."""
        reference = self.town.vendors[provider].new_order()
        person = self.workspace.person("alice")
        await person.command("/cancel-order", f"{provider} {account} {reference} ordered twice")
        handle = await person.modal()
        return copy.deepcopy(handle.view)

    async def send(self, form: View, reference: str, who: str = "alice") -> Reply:
        """Fill in the form for that order, and send it. Raises for one that was turned down."""
        old = next(iter(self.references(form)))
        text = json.dumps([form.content, form.values]).replace(f'"{old}"', f'"{reference}"')
        content, values = json.loads(text)
        member = self.workspace.member(who)
        filled = View("V" + secrets.token_hex(5), member.id, content, form.hash, form.root, None, values)
        payload = interactions.submission(self.workspace, member, filled)
        reply = answered(await self.workspace.delivery.send("interactive", payload))
        if reply.body:
            raise AssertionError(f"turned down: {reply.body}")
        return reply

    def references(self, form: View) -> list[str]:
        filled = [field.get("value") for block in form.values.values() for field in block.values()]
        known = {reference for vendor in self.town.vendors.values() for reference in vendor.orders}
        return [value for value in filled if value in known]

    async def card(self, reference: str) -> Message:
        """The card of that order, once it can be approved."""
        messages = self.workspace.channel(CHANNEL).messages
        seen = max(0, len(messages) - 64)

        def there() -> Message | None:
            found = next((each for each in messages[seen:] if f"`{reference}`" in each.text), None)
            return found if found and button(found, "approve") else None

        return await self.workspace.wait_until(there, SETTLED)

    async def outcome(self, card: Message) -> Message:
        """The reply that tells the outcome."""
        return await self.workspace.wait_until(lambda: next(filter(is_outcome, card.thread), None), SETTLED)

    async def click(self, who: str, card: Message, action: str) -> float:
        """Press that button, and return after how many seconds it was answered."""
        payload = self._pressed(who, card, action)
        return answered(await self.workspace.delivery.send("interactive", payload, accepts=False)).seconds

    async def clicked_at(self, who: str, card: Message, action: str) -> float:
        """Press that button, and return when the last byte of the click had left, by `perf_counter`. What
        Slack does before that, to make up a payload and a request, is neither the bot's nor a floor's."""
        delivery = self.workspace.delivery
        body, headers = delivery.packed("interactive", self._pressed(who, card, action))
        url = urlsplit(delivery.request_url or "")
        headers |= {"Host": url.netloc, "Content-Length": str(len(body)), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(f"POST {url.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        left = time.perf_counter()
        said = await reader.read()
        writer.close()
        if said.split()[1:2] != [b"200"]:
            raise AssertionError(f"not answered: {said[:200]!r}")
        return left

    def _pressed(self, who: str, card: Message, action: str) -> Json:
        found = button(card, action)
        if found is None:
            raise AssertionError(f"no {action} on: {card.readable}")
        member = self.workspace.member(who)
        return interactions.message_click(self.workspace, member, card, interactions.action_of(*found), {})

    async def type(self, who: str, text: str) -> float:
        """Type that behind the command, and return after how many seconds it was answered."""
        channel, member = self.workspace.channel("orders"), self.workspace.member(who)
        payload = interactions.slash_command(self.workspace, member, channel, "/cancel-order", text)
        return answered(await self.workspace.delivery.send("slash_commands", payload)).seconds


def answered(reply: Reply) -> Reply:
    """A figure about failures would be worth nothing."""
    if not reply.ok:
        raise AssertionError(f"not answered: {reply.error} after {reply.seconds:.1f} s")
    return reply


def button(message: Message, action: str) -> tuple[Json, Json] | None:
    """The block and the element of that button."""
    for block in message.blocks:
        for element in block.get("elements", ()):
            if element.get("action_id") == action:
                return block, element
    return None


def is_outcome(reply: Message) -> bool:
    metadata: dict[str, Any] = reply.metadata or {}
    return metadata.get("event_type") == "order_cancellation"


@asynccontextmanager
async def on_stage() -> AsyncIterator[Stage]:
    """A town of its own. Whatever it complained about spoils the figures, so it is raised."""
    with TemporaryDirectory(prefix="countersign-bench-") as folder:
        async with Town() as town:
            yield Stage(town, Path(folder))
        if town.workspace.problems:
            raise AssertionError(town.workspace.problems[:5])


async def all_of(work: list[Any], at_once: int) -> list[Any]:
    """The results of all of it, `at_once` of them at any time."""
    room = asyncio.Semaphore(at_once)

    async def one(each: Any) -> Any:
        async with room:
            return await each

    return await asyncio.gather(*map(one, work))
