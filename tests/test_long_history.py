"""A long history is verified beside everything else: people ask and approve, and nothing is executed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bot import app, workflow
from bot.errors import StorageError
from bot.store import Store
from sandbox.slack.model import Message
from tests.bot.test_health import get, ready
from tests.conftest import World
from tests.past_the_bot import change

WAITS = "the history is still being verified"


class Walk:
    """The reading of the whole history, which stands still until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on = asyncio.Event()
        self.readings = 0
        self.problem: StorageError | None = None
        monkeypatch.setattr(Store, "read_long", self._of(Store.read_long))
        monkeypatch.setattr(app, "SHORT", 0.0)
        monkeypatch.setattr(app, "READ_AGAIN", 0.0)
        monkeypatch.setattr(workflow, "LINKS_AT_ONCE", 3)

    def _of(self, read_long: Callable[..., Any]) -> Callable[..., Any]:
        async def read(store: Store, work: Callable[..., Any]) -> Any:
            if self.readings:  # there is time for one before anything else
                await self.may_go_on.wait()
            self.readings += 1
            problem, self.problem = self.problem, None
            if problem:
                raise problem
            return await read_long(store, work)

        return read


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch) -> Walk:
    return Walk(monkeypatch)


async def approved_meanwhile(world: World, walk: Walk) -> Message:
    """A card with enough approvals, from before the history was verified."""
    await world.start_bot()
    await world.stop_bot()  # there is a history now
    walk.readings = 0
    await world.start_bot()
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, WAITS)
    assert world.vendor("digicert").sends == []
    return card


async def test_what_was_approved_meanwhile_is_executed_once_as_soon_as_the_history_is_verified(
    quiet_world: World, walk: Walk
) -> None:
    world = quiet_world
    card = await approved_meanwhile(world, walk)
    assert world.bot is not None
    status, answer, _ = await get(world.bot.port, "/readyz")
    assert (status, answer["information"]) == (200, [WAITS])
    walk.may_go_on.set()
    await world.reads(card, "Outcome: cancelled")
    assert len(world.vendor("digicert").sends) == 1
    assert walk.readings > 3, "it is read in parts, and others come in between"
    status, answer, _ = await get(world.bot.port, "/readyz")
    assert (status, "information" in answer) == (200, False)


async def test_a_history_that_turns_out_to_be_changed_executes_nothing(
    quiet_world: World, walk: Walk
) -> None:
    world = quiet_world
    card = await approved_meanwhile(world, walk)
    assert change(world.database, "UPDATE event SET body = '{}' WHERE seq = 4") == 1
    walk.may_go_on.set()
    assert "the history does not verify: event 4 of the history was changed" in await ready(world, 503)
    again = await world.asked("alice", "digicert", world.vendor("digicert").new_order())
    for who in ("bob", "carol"):
        await world.approve(who, again)
    await world.reads(again, "the history does not verify")
    assert "Outcome" not in world.card(card).readable
    assert world.vendor("digicert").sends == []


async def test_a_database_that_is_away_meanwhile_is_read_on_when_it_is_back(
    quiet_world: World, walk: Walk
) -> None:
    world = quiet_world
    card = await approved_meanwhile(world, walk)
    walk.problem = StorageError("The connection was lost.")
    walk.may_go_on.set()
    await world.reads(card, "Outcome: cancelled")
    assert len(world.vendor("digicert").sends) == 1


async def test_the_bot_stops_at_once_while_a_long_history_is_read(quiet_world: World, walk: Walk) -> None:
    await approved_meanwhile(quiet_world, walk)
    async with asyncio.timeout(5):
        await quiet_world.stop_bot()
    assert walk.readings == 1
