"""A database that has forgotten something, or a clock that is wrong: nothing is executed until it is
set right, or somebody answers for it."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy.engine import make_url

from bot import acknowledge
from bot.app import Bot, Roles
from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests import postgres
from tests.conftest import World

ROOT = Path(__file__).parents[1]
OLDER = "is an older copy, or another one"
one_way_in = pytest.mark.parametrize("transport", ["socket"])

PATIENCE = 150
"""Seconds after which a held request must have been tried again."""


async def readiness(world: World) -> tuple[int, str]:
    assert world.bot is not None
    url = f"http://127.0.0.1:{world.bot.port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        found = await response.json()
        return response.status, "; ".join(found["problems"])


async def becomes_ready(world: World) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await readiness(world))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # it has to be asked; nothing tells us


async def command(world: World, *arguments: str) -> tuple[int, str]:
    """`python -m bot …` in a process of its own: its exit code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *arguments),
        cwd=world.folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | world.environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert [secret for secret in world.settings().secret_values() if secret in said.decode()] == []
    return process.returncode or 0, said.decode()


async def approved(world: World, provider: str, who: str = "alice") -> Message:
    card = await world.asked(who, provider, world.vendor(provider).samples["cancellable"])
    for approver in ("bob", "carol"):
        await world.approve(approver, card)
    return card


async def cancelled(world: World, provider: str) -> Message:
    return await world.reads(await approved(world, provider), "Outcome: cancelled")


@contextmanager
def copy_of(database: str) -> Iterator[str]:
    """The setting of a copy of it as it is now. No bot runs on it."""
    if not database.startswith("sqlite"):
        name = f"copy_{secrets.token_hex(6)}"
        postgres.create(name, template=str(make_url(database).database))
        yield postgres.url_of(name)
        postgres.drop(name)
        return
    source = str(make_url(database).database)
    shutil.copyfile(source, f"{source}.copy")
    yield f"{database}.copy"


@asynccontextmanager
async def restored(world: World) -> AsyncIterator[Message]:
    """The card of an outcome that a restored database knows nothing of."""
    await world.start_bot()
    await cancelled(world, "payvalida")
    await world.stop_bot()
    with copy_of(world.database) as copy:
        await world.start_bot()
        lost = await cancelled(world, "digicert")
        await world.stop_bot()
        world.database = copy
        await world.start_bot()
        yield lost
        await world.stop_bot()
        assert (await command(world, "audit", "verify"))[0] == 0


async def test_a_restored_backup_executes_nothing_until_an_operator_has_looked(quiet_world: World) -> None:
    world, vendor = quiet_world, quiet_world.vendor("cpanel")
    async with restored(world) as lost:
        status, why = await readiness(world)
        assert (status, OLDER in why) == (503, True)
        code, said = await command(world, "audit", "acknowledge")
        request_id = lost.metadata["event_payload"]["request_id"] if lost.metadata else ""
        assert code == 1
        assert f"request {request_id[:8]}, cancelled (not in this database)" in said
        assert "may be executed again" in said
        assert "Nothing was written" in said
        card = await approved(world, "cpanel")
        held = await world.reads(card, "On hold")
        assert OLDER in held.readable
        assert vendor.sends == []
        await world.stop_bot()
        assert (await command(world, "audit", "acknowledge", "--yes"))[0] == 0
        await world.start_bot()
        assert await readiness(world) == (200, "")
        await world.reads(card, "Outcome: cancelled", timeout=PATIENCE)
        assert vendor.sends == [vendor.samples["cancellable"]]
        code, said = await command(world, "audit", "acknowledge", "--yes")
        assert (code, "nothing to acknowledge" in said) == (0, True)


@one_way_in
async def test_a_backup_from_before_a_send_does_not_send_again_although_there_is_no_outcome_yet(
    quiet_world: World,
) -> None:
    world, vendor = quiet_world, quiet_world.vendor("payvalida")
    await world.start_bot(PROVIDER_TIMEOUT="2s", RECONCILE_AFTER="60s")
    bob = world.person("bob")
    await bob.command("/cancel-order", "pause payvalida nightly backup")
    await world.workspace.wait_until(lambda: any("is paused, by" in one.readable for one in world.cards))
    card = await approved(world, "payvalida")
    await world.reads(card, "On hold")
    await world.stop_bot()
    with copy_of(world.database) as copy:
        await world.start_bot(PROVIDER_TIMEOUT="2s", RECONCILE_AFTER="60s")
        vendor.fail_next(Fault.DROP)
        await bob.command("/cancel-order", "resume payvalida")
        await world.reads(card, "outcome unknown, checking")
        await world.stop_bot()
        world.database = copy
        await world.start_bot(PROVIDER_TIMEOUT="2s", RECONCILE_AFTER="60s")
        assert OLDER in (await readiness(world))[1]
        await bob.command("/cancel-order", "resume payvalida")
        held = await world.reads(card, "On hold: The channel knows of event")
        assert len(vendor.sends) == 1, held.readable
        await world.stop_bot()


@one_way_in
async def test_what_was_found_missing_once_is_not_forgotten_with_the_message(quiet_world: World) -> None:
    world = quiet_world
    async with restored(world) as lost:
        world.workspace.delete_message(lost)
        await world.stop_bot()
        await world.start_bot()
        assert OLDER in (await readiness(world))[1]


@one_way_in
async def test_a_new_database_in_a_channel_with_a_past_goes_on_when_the_operator_has_looked(
    quiet_world: World,
) -> None:
    world = quiet_world
    await world.start_bot()
    await cancelled(world, "payvalida")
    await world.stop_bot()
    world.database = f"sqlite:///{world.folder / 'new.db'}"
    await world.start_bot()
    assert OLDER in (await readiness(world))[1]
    assert (await command(world, "audit", "acknowledge", "--yes"))[0] == 0
    await becomes_ready(world)


@one_way_in
async def test_the_same_database_goes_on_without_a_word(quiet_world: World) -> None:
    world = quiet_world
    for provider in ("payvalida", "digicert"):
        await world.start_bot()
        assert await readiness(world) == (200, "")
        await cancelled(world, provider)
        await world.stop_bot()
    code, said = await command(world, "audit", "acknowledge", "--yes")
    assert (code, said) == (0, f"{acknowledge.NOTHING}\n")


async def test_a_clock_that_differs_from_slacks_executes_nothing(quiet_world: World, transport: str) -> None:
    world, vendor = quiet_world, quiet_world.vendor("cpanel")
    ahead, side = (-120, "ahead of") if transport == "socket" else (120, "behind")
    await world.start_bot()
    world.workspace.clock_offset = ahead
    held = await world.reads(await approved(world, "cpanel"), "On hold")
    why = (
        rf"The clock of this machine is 1(19|20|21) s {side} Slack's; "
        r"an operator has to set it right\."
    )
    assert re.search(why, held.readable)
    status, said = await readiness(world)
    assert (status, bool(re.fullmatch(why, said))) == (503, True)
    assert vendor.sends == []
    world.workspace.clock_offset = 0
    await world.reads(held, "Outcome: cancelled", timeout=PATIENCE)
    assert vendor.sends == [vendor.samples["cancellable"]]
    await becomes_ready(world)


@one_way_in
async def test_a_difference_that_every_machine_has_is_none(quiet_world: World) -> None:
    world = quiet_world
    world.workspace.clock_offset = 50
    await world.start_bot()
    assert await readiness(world) == (200, "")
    await cancelled(world, "cpanel")


@pytest.mark.parametrize("transport", ["http"])
async def test_a_process_that_only_listens_tells_of_its_clock_as_well(quiet_world: World) -> None:
    """It refuses every signed request once the clock is five minutes off."""
    world = quiet_world
    await world.start_bot()
    await world.stop_bot()
    world.workspace.clock_offset = 360
    world.bot = Bot(replace(world.settings(), port=0), transport="http", roles=Roles(worker=False))
    await world.bot.start()
    status, why = await readiness(world)
    assert (status, "The clock of this machine is 3" in why) == (503, True)
    world.workspace.clock_offset = 0
    await world.stop_bot()


@one_way_in
async def test_a_channel_that_cannot_be_read_executes_nothing_and_stops_no_start(quiet_world: World) -> None:
    world, vendor = quiet_world, quiet_world.vendor("cpanel")
    world.workspace.fail_next("conversations.history", "missing_scope", times=1000)
    await world.start_bot()
    held = await world.reads(await approved(world, "cpanel"), "On hold")
    assert "has not been compared with the channel (missing_scope)" in held.readable
    assert (await readiness(world))[0] == 503
    assert vendor.sends == []
    code, said = await command(world, "audit", "acknowledge", "--yes")
    assert (code, said) == (1, "The channel cannot be read (missing_scope). Nothing was written.\n")
    world.workspace.faults.clear()
    await world.reads(held, "Outcome: cancelled", timeout=PATIENCE)
    await becomes_ready(world)
