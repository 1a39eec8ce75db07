"""What other people do to the database file while the bot works on it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from bot.errors import StorageError
from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.bot.stores import sql
from tests.conftest import World


@pytest.fixture
def transport() -> str:
    return "socket"


@pytest.fixture
async def card(world: World) -> AsyncIterator[Message]:
    """It waits for approvals. That some clicks get no answer in time is the point of what follows."""
    yield await world.asked("alice", "payvalida", world.vendor("payvalida").samples["cancellable"])
    await world.stop_bot()
    world.workspace.problems.clear()


async def problems(world: World) -> list[str]:
    """What `/readyz` answers."""
    assert world.bot is not None
    url = f"http://127.0.0.1:{world.bot.port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        answer = await response.json()
    assert (response.status == 200) is answer["ready"] is (answer["problems"] == [])
    return list(answer["problems"])


async def get_ready(world: World) -> None:
    async with asyncio.timeout(10):
        while await problems(world):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # it has to be asked; nothing tells us


async def is_cancelled_once(world: World, card: Message) -> None:
    for who in ("bob", "carol"):
        assert (await world.approve(who, card)).ok
    await world.reads(card, "Outcome: cancelled")
    assert len(world.vendor("payvalida").sends) == 1


# --- the file goes away -------------------------------------------------------------------------------


def move(database: Path) -> Callable[[], None]:
    """Returns how to put it back."""
    kept = database.rename(database.with_name("elsewhere.db"))
    return lambda: _put_back(kept, database)


def replace_with_a_copy(database: Path) -> Callable[[], None]:
    put_back = move(database)
    shutil.copy(database.with_name("elsewhere.db"), database)
    return put_back


def remove_the_log(database: Path) -> Callable[[], None]:
    return move(database.with_name("bot.db-wal"))


def _put_back(kept: Path, path: Path) -> None:
    kept.replace(path)


@pytest.mark.parametrize("harm", [move, replace_with_a_copy, remove_the_log])
async def test_a_file_that_is_not_the_one_of_the_start_is_not_used_nor_made_anew(
    world: World, card: Message, harm: Callable[[Path], Callable[[], None]]
) -> None:
    """SQLite would go on with the old file under no name at all, and all of it would be gone at the end."""
    database = world.folder / "bot.db"
    put_back = harm(database)
    found = {path.name: path.read_bytes() for path in world.folder.glob("bot.db")}
    assert "the database cannot be read" in (await problems(world))
    assert not (await world.approve("bob", card)).ok
    assert {path.name: path.read_bytes() for path in world.folder.glob("bot.db")} == found
    put_back()
    await get_ready(world)
    await is_cancelled_once(world, card)


async def test_when_it_stops_without_its_file_it_says_so_and_leaves_none(world: World) -> None:
    database = world.folder / "bot.db"
    move(database)
    bot, world.bot = world.bot, None
    assert bot is not None
    with pytest.raises(StorageError, match="moved, replaced or deleted while the bot was running"):
        await bot.stop()
    assert not database.exists()


async def test_what_is_open_stays_open_when_leave_is_taken_away(world: World, card: Message) -> None:
    (world.folder / "bot.db").chmod(0)
    assert await problems(world) == []
    await is_cancelled_once(world, card)


# --- somebody else writes -----------------------------------------------------------------------------


@contextmanager
def locked(world: World) -> Iterator[None]:
    with sql(world.folder / "bot.db") as other:
        other.execute("PRAGMA busy_timeout = 5000")  # the bot may be writing just now
        other.execute("BEGIN EXCLUSIVE")
        yield


async def test_a_lock_that_is_held_for_a_second_costs_a_second(world: World, card: Message) -> None:
    with locked(world):
        clicked = asyncio.create_task(world.approve("bob", card))
        await asyncio.sleep(1)  # it is about this second
        assert not clicked.done()
    answer = await clicked
    assert answer.ok
    assert answer.seconds < 2.5


async def test_a_lock_that_is_held_for_long_is_an_error_that_people_see_and_has_no_effect(
    world: World, card: Message
) -> None:
    with locked(world):
        answers = await asyncio.gather(world.approve("bob", card), world.approve("carol", card))
        assert [answer.ok for answer in answers] == [False, False]
    assert world.vendor("payvalida").sends == []
    await is_cancelled_once(world, card)


async def test_while_the_permit_cannot_be_written_nothing_is_sent_and_then_once(
    world: World, card: Message
) -> None:
    vendor = world.vendor("payvalida")
    await world.approve("bob", card)
    vendor.fail_next(Fault.HANG, on="read")
    reads = len(vendor.seen)
    await world.approve("carol", card)
    await vendor.wait_until(lambda: len(vendor.seen) > reads)
    with locked(world):
        vendor.release()
        await asyncio.sleep(2.5)  # longer than the bot waits for a lock
        assert vendor.sends == []
    await world.reads(card, "Outcome: cancelled")
    assert len(vendor.sends) == 1
