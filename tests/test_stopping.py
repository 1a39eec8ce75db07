"""SIGTERM at any moment: the process ends by itself in time, and the next one carries on. Real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import IO

import pytest

from sandbox.process import BotProcess
from sandbox.slack.model import Message
from sandbox.town import Town
from sandbox.vendors.vendor import Fault
from tests.conftest import QUICK, World
from tests.gateway import Gateway, gateway_to

IN_TIME = 30.0
"""Seconds that whoever stops a process gives it, before it is killed."""


class Machine:
    """A town, and a bot process in it that can be told to stop. Slack is behind a gateway."""

    def __init__(self, town: Town, gateway: Gateway, folder: Path, log: IO[bytes]) -> None:
        self.world = World(town, folder, "socket")
        self.town = town
        self.gateway = gateway
        self._log = log
        self.bot: BotProcess | None = None

    def process(self, **changes: str) -> BotProcess:
        settings = QUICK | {"SLACK_API_URL": self.gateway.url, "LOG_LEVEL": "WARNING"} | changes
        environment = self.world.environment(**settings)
        return BotProcess(environment, self.world.folder, self._log)

    @property
    def said(self) -> str:
        """The log of all processes so far."""
        return Path(self._log.name).read_text()

    async def start(self, **changes: str) -> None:
        self.bot = self.process(**changes)
        await self.bot.start("--transport", "socket")
        await self.town.workspace.bot_connected(timeout=30)

    def tell(self, number: int = signal.SIGTERM) -> None:
        assert self.bot is not None
        with suppress(ProcessLookupError):
            os.kill(self.bot.pid, number)

    async def ends(self) -> float:
        """Seconds until it has ended by itself, and well."""
        assert self.bot is not None
        began = time.monotonic()
        async with asyncio.timeout(IN_TIME):
            assert await self.bot.ended() == 0, self.said
        hub = self.town.workspace.delivery.hub
        await self.town.workspace.wait_until(lambda: not hub.connected)
        return time.monotonic() - began

    async def stop(self) -> float:
        self.tell()
        return await self.ends()

    async def carries_on(self, card: Message, text: str = "Outcome: cancelled") -> None:
        """Until everything about the card is told; and nothing is told twice."""
        world = self.world
        await world.reads(card, text, timeout=40)
        await world.workspace.wait_until(lambda: "Outcome" in world.card(card).thread[-1].text, 20)
        told = [reply.text for reply in world.card(card).thread]
        assert len(set(told)) == len(told), told


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with AsyncExitStack() as opened:
        town = await opened.enter_async_context(Town())
        gateway = await opened.enter_async_context(gateway_to(f"{town.url}/api/"))
        log = opened.enter_context((tmp_path / "log").open("ab"))
        machine = Machine(town, gateway, tmp_path, log)
        try:
            yield machine
        finally:
            if machine.bot is not None:
                gateway.release()
                town.workspace.release()
                await machine.bot.stop()
        assert town.workspace.problems == []
        assert "Traceback" not in machine.said
        assert "Unclosed" not in machine.said


async def test_under_load_it_ends_in_time_and_the_next_one_finishes_what_was_begun(machine: Machine) -> None:
    world, vendor = machine.world, machine.world.vendor("payvalida")
    await machine.start()
    cards = [await world.asked("alice", "payvalida", vendor.new_order()) for _ in range(3)]
    for card in cards:
        await world.approve("bob", card)
    vendor.fail_next(Fault.HANG)
    vendor.fail_next(Fault.LOSE_ANSWER)
    dan = world.person("dan")
    load = [asyncio.create_task(world.approve("carol", card)) for card in cards]
    load += [asyncio.create_task(dan.command("/cancel-order", "pending")) for _ in range(100)]
    await vendor.wait_until(lambda: len(vendor.sends) >= 2)
    machine.tell()
    load += [asyncio.create_task(dan.command("/cancel-order", "mine")) for _ in range(20)]
    await machine.ends()
    vendor.release()
    acks = await asyncio.gather(*load)
    assert {ack.error for ack in acks} <= {None, "connection_lost", "dispatch_failed"}
    await machine.start()
    for card, ack in zip(cards, acks, strict=False):
        if not ack.ok and "Approve cancellation" in world.card(card).buttons:
            await world.approve("carol", card)  # she saw that it did not work
    for card in cards:
        await machine.carries_on(card)
    assert sorted(vendor.performed) == sorted(set(vendor.sends))
    assert len(set(vendor.sends)) == len(world.cards) == len(cards)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_being_told_again_and_again_changes_nothing(machine: Machine, number: int) -> None:
    world, vendor = machine.world, machine.world.vendor("payvalida")
    await machine.start(PROVIDER_TIMEOUT="5s", RECONCILE_AFTER="6s")
    card = await world.asked("alice", "payvalida", vendor.samples["cancellable"])
    await world.approve("bob", card)
    vendor.fail_next(Fault.HANG)
    await world.approve("carol", card)
    await vendor.wait_until(lambda: bool(vendor.sends))
    assert machine.bot is not None
    ended = asyncio.create_task(machine.bot.ended())
    for _ in range(400):
        machine.tell(number)
        await asyncio.wait({ended}, timeout=0.05)
        if ended.done():
            break
        vendor.release()
    assert await ended == 0
    await machine.start()
    await machine.carries_on(card)
    assert len(vendor.sends) == 1


async def test_a_provider_that_hangs_is_left_behind_and_asked_later(machine: Machine) -> None:
    world, vendor = machine.world, machine.world.vendor("digicert")
    await machine.start(PROVIDER_TIMEOUT="30s", RECONCILE_AFTER="45s")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    await world.approve("bob", card)
    vendor.fail_next(Fault.HANG)
    await world.approve("carol", card)
    await vendor.wait_until(lambda: bool(vendor.sends))
    assert await machine.stop() < IN_TIME - 5
    vendor.release()
    await machine.start()
    await machine.carries_on(card)
    assert len(vendor.sends) == 1


async def test_however_much_hangs_at_once_it_ends_in_time(machine: Machine) -> None:
    """A provider, a post, an update and a form."""
    world, vendor = machine.world, machine.world.vendor("digicert")
    world.workspace.ack_timeout = 15.0
    await machine.start(PROVIDER_TIMEOUT="60s", RECONCILE_AFTER="90s")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    await world.approve("bob", card)
    vendor.fail_next(Fault.HANG)
    await world.approve("carol", card)
    await vendor.wait_until(lambda: bool(vendor.sends))
    for method in ("chat.update", "chat.postMessage", "views.open"):
        machine.gateway.hold_next(method)
    opening = asyncio.create_task(world.person("dan").command("/cancel-order"))
    await world.person("bob").command("/cancel-order", "status nonsense")
    held = {await machine.gateway.holding.get() for _ in range(2)}
    assert "views.open" in held
    assert await machine.stop() < IN_TIME - 2
    machine.gateway.release()
    vendor.release()
    await opening
    await machine.start()
    await machine.carries_on(card)
    assert len(vendor.sends) == 1


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("chat.postMessage", "comes"),
        ("chat.postMessage", "never comes"),
        ("chat.update", "never comes"),
        ("users.info", "comes"),
        ("views.open", "never comes"),
    ],
)
async def test_a_call_to_slack_that_is_under_way_is_neither_lost_nor_repeated(
    machine: Machine, method: str, answer: str
) -> None:
    """Slack has carried it out, and the answer comes while the bot stops, or not at all."""
    world, vendor = machine.world, machine.world.vendor("cpanel")
    world.workspace.ack_timeout = 15.0  # people here are patient
    await machine.start()
    card = await world.asked("alice", "cpanel", vendor.samples["cancellable"])
    await world.approve("bob", card)
    machine.gateway.hold_next(method)
    opening = asyncio.create_task(world.person("dan").command("/cancel-order"))
    if method != "views.open":
        await world.approve("carol", card)
    async with asyncio.timeout(60):
        await machine.gateway.holding.get()
    machine.tell()
    if answer == "comes":
        machine.gateway.release()
    await machine.ends()
    machine.gateway.release()
    await opening
    await machine.start()
    if method == "views.open":
        await world.approve("carol", card)
    await machine.carries_on(card)
    assert len(vendor.sends) == 1
    assert len(world.cards) == 1
    await world.workspace.wait_until(lambda: world.person("alice").dms())


@pytest.mark.parametrize("what", ["card", "thread", "update"])
async def test_what_slack_took_right_before_the_process_was_killed_is_not_posted_again(
    machine: Machine, what: str
) -> None:
    """Nobody has noted that it was posted: it is looked for."""
    world, vendor = machine.world, machine.world.vendor("cpanel")
    await machine.start()
    assert machine.bot is not None
    if what != "card":
        card = await world.asked("alice", "cpanel", vendor.samples["cancellable"])
        await world.workspace.wait_until(lambda: world.card(card).thread)
    machine.gateway.hold_next("chat.update" if what == "update" else "chat.postMessage")
    if what == "card":
        card = await world.ask("alice", "cpanel", vendor.samples["cancellable"])
    else:
        await world.approve("bob", card)
    async with asyncio.timeout(20):
        await machine.gateway.holding.get()
    await machine.bot.kill()
    machine.gateway.release()
    await machine.start()
    for who in ("carol", "dan"):
        await world.workspace.wait_until(lambda: "Approve cancellation" in world.card(card).buttons)
        await world.approve(who, card)
        if what != "card":
            break
    await machine.carries_on(card)
    assert len(world.cards) == 1
    assert len(vendor.sends) == 1


@pytest.mark.parametrize("method", ["auth.test", "usergroups.users.list", "apps.connections.open"])
async def test_it_ends_while_it_starts_and_slack_hangs(machine: Machine, method: str) -> None:
    machine.town.workspace.fail_next(method, "hang", times=50)
    machine.bot = machine.process()
    await machine.bot.start("--transport", "socket")
    await machine.gateway.called(method, 1)
    assert await machine.stop() < 20
    machine.town.workspace.faults.clear()
    machine.town.workspace.release()
    await machine.start()
    assert (await machine.world.person("alice").command("/cancel-order", "help")).ok


async def test_a_deploy_that_starts_the_new_process_too_early_does_no_harm(machine: Machine) -> None:
    """On SQLite. The new one says why it does not start, and whoever deploys tries again."""
    world, vendor = machine.world, machine.world.vendor("payvalida")
    await machine.start()
    card = await world.asked("alice", "payvalida", vendor.samples["cancellable"])
    early = machine.process()
    await early.start()
    assert await early.ended() == 3
    assert "Another bot is running on this database (bot.db). Stop it first." in machine.said
    await world.approve("bob", card)
    await machine.stop()
    await machine.start()
    await world.approve("carol", card)
    await machine.carries_on(card)
    assert len(vendor.sends) == 1
