"""A town with the real bot in it: real Bolt, real database, real HTTP, only on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from bot.app import Bot
from bot.settings import Settings
from bot.store import schema
from providers import ADAPTERS
from sandbox.slack.model import Ack, Message
from sandbox.slack.person import Person
from sandbox.slack.workspace import Workspace
from sandbox.town import CHANNEL, Town
from sandbox.vendors.vendor import Vendor
from tests import manners, postgres

# A slow machine is no failure, and a run that fails must fail again when it is looked into.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

LONGEST = (
    "test_stopping.py",
    "test_sweep.py",
    "test_races.py",
    "test_late.py",
    "test_simulation.py",
    "test_postgres_outages.py",
    "test_secrets.py",
    "test_doubt.py",
    "test_waiting.py",
    "test_restored_backup.py",
)
"""Files that take more than half a minute. They come first, so that none is waited for at the end."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Most tests wait, for the seconds that the bot promises: two cores are busy for a third of the time."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


QUICK = {
    "PROVIDER_TIMEOUT": "1s",
    "RECONCILE_AFTER": "2s",
    "OUTBOX_RETRY_MIN": "1s",
    "OUTBOX_RETRY_MAX": "2s",
}


class NoPace:
    """Slack's own rate limits are off in the sandbox, so nothing needs to wait here."""

    async def turn(self, channel: str) -> None:
        return


class World:
    """A town, the bot, and what tests do in it, in a person's words."""

    def __init__(self, town: Town, folder: Path, transport: str, database: str = "") -> None:
        """`database`: the setting; a SQLite file in `folder` unless it is given."""
        self.town = town
        self.workspace: Workspace = town.workspace
        self.folder = folder
        self.transport = transport
        self.database = database or f"sqlite:///{folder / 'bot.db'}"
        self.bot: Bot | None = None
        self.without: tuple[str, ...] = ()
        """Settings to leave out."""

    async def start_bot(self, clock: Callable[[], datetime] | None = None, **changes: str) -> Bot:
        settings = replace(self.settings(**changes), port=0)
        if schema.is_empty(settings.database_url):
            schema.upgrade(settings.database_url)
        bot = Bot(settings, transport=self.transport, clock=clock, pace=NoPace())
        await bot.start()
        if self.transport == "http":
            self.workspace.deliver_to_http(f"http://127.0.0.1:{bot.port}/slack/events")
        await self.workspace.bot_connected()
        self.bot = bot
        return bot

    async def stop_bot(self) -> None:
        if self.bot is not None:
            await self.bot.stop()
            self.bot = None

    def settings(self, **changes: str) -> Settings:
        return Settings.from_env(self.environment(**changes), ADAPTERS)

    def environment(self, **changes: str) -> dict[str, str]:
        own = {"DATABASE_URL": self.database}
        given = self.town.environment(self.folder / "bot.db", **(QUICK | own | changes))
        return {name: value for name, value in given.items() if name not in self.without}

    def vendor(self, name: str) -> Vendor[Any]:
        return self.town.vendors[name]

    def person(self, name: str) -> Person:
        return self.workspace.person(name)

    async def ask(self, who: str, provider: str, reference: str, reason: str = "ordered twice") -> Message:
        """Type the command, fill the form, send it, and return the card."""
        before = len(self.cards)
        person = self.person(who)
        await person.command("/cancel-order", f"{provider} {reference} {reason}")
        form = await person.modal()
        sent = await form.submit()
        assert sent.ok, sent.errors
        await self.workspace.wait_until(lambda: len(self.cards) > before)
        return self.cards[-1]

    @property
    def cards(self) -> list[Message]:
        """The cards as they are now, oldest first."""
        return [m for m in self.workspace.channel(CHANNEL).messages if m.only_for is None]

    def card(self, message: Message) -> Message:
        """The same card as it is now."""
        return next(m for m in self.cards if m.ts == message.ts)

    def decisions(self, card: Message) -> list[str]:
        """The buttons that decide something; not those that only show or ask anew."""
        return [button for button in self.card(card).buttons if button not in ("Details", "Ask again")]

    async def reads(self, card: Message, text: str, timeout: float = 15) -> Message:  # noqa: ASYNC109
        """Wait until the card reads so."""
        return await self.workspace.wait_until(
            lambda: now if text in (now := self.card(card)).readable else None, timeout
        )

    async def reads_in_thread(self, card: Message, text: str) -> Message:
        """Wait until a reply under the card reads so."""
        return await self.workspace.wait_until(
            lambda: next((r for r in self.card(card).thread if text in r.readable), None), 15
        )

    async def asked(self, who: str, provider: str, reference: str, reason: str = "ordered twice") -> Message:
        """A card that is waiting for approvals."""
        card = await self.ask(who, provider, reference, reason)
        return await self.workspace.wait_until(
            lambda: now if "Approve cancellation" in (now := self.card(card)).buttons else None
        )

    async def approve(self, who: str, card: Message) -> Ack:
        return await self.person(who).click(self.card(card), "Approve")

    async def said(self, who: str, text: str) -> Message:
        """Wait until `who` was told privately."""
        return await self.person(who).wait_for_ephemeral(lambda message: text in message.text)


@pytest.fixture(params=["socket", "http"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def storage(transport: str) -> str:
    """Which database: with both ways in and both databases, everything is tried on either."""
    return "sqlite" if transport == "socket" else "postgres"


@pytest.fixture
def database(storage: str, tmp_path: Path) -> Iterator[str]:
    """The setting of a database that exists already, or of a SQLite file that does not."""
    if storage == "sqlite":
        yield f"sqlite:///{tmp_path / 'bot.db'}"
        return
    with postgres.new_database() as url:
        yield url


@pytest.fixture
async def quiet_world(tmp_path: Path, transport: str, database: str) -> AsyncIterator[World]:
    """A town whose bot is not started yet."""
    async with Town() as town:
        world = World(town, tmp_path, transport, database)
        try:
            yield world
        finally:
            await world.stop_bot()
        assert town.workspace.problems == []
        assert manners.complaints(town.workspace) == []


@pytest.fixture
async def world(quiet_world: World) -> World:
    await quiet_world.start_bot()
    return quiet_world


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test talks to anything but this machine, whatever the code under test believes."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
