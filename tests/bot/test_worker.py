"""What is due is taken as soon as there is room for it, whatever happens at the same moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any

import pytest

from bot.agenda import Kind
from bot.store import Store, Unit, slots
from bot.store.slots import Claimed
from bot.store.transaction import News, utc_now
from bot.supervise import Supervisor
from bot.worker import Deadlines, Worker
from tests.bot.stores import opened

MINUTE = timedelta(minutes=1)
NEVER = 3600.0


class Workshop:
    """A worker whose actions end when they are told to."""

    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self.store = store
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self._ends: dict[str, asyncio.Event] = {}
        self._held: dict[str, int] = {}
        deadlines = Deadlines(MINUTE, MINUTE, MINUTE)
        nobody: Any = None
        name = "0000000a"
        self.worker = Worker(store, nobody, nobody, deadlines, supervisor, utc_now, idle=NEVER, name=name)
        self.worker._actions[Kind.CHECK] = self._check
        store.on_news(self._tell)

    def _tell(self, news: News) -> None:
        self.worker.begin(news.claimed)
        if news.due_in is not None:
            self.worker.wake_in(news.due_in)

    async def _check(self, held: Claimed) -> None:
        self._ends[held.key] = asyncio.Event()
        self._held[held.key] = held.id
        self.begun.put_nowait(held.key)
        await self._ends[held.key].wait()

    async def begins(self) -> str:
        async with asyncio.timeout(10):
            return await self.begun.get()

    async def looked(self) -> None:
        """Return when the worker has seen that nothing is due that it may begin."""
        async with asyncio.timeout(10):
            while self.worker._look_at != inf:  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # it tells nobody
            await self.store.write(lambda _unit: None)  # its own comes before

    async def end(self, request_id: str) -> None:
        """Return when it does not count any more."""
        self._ends[request_id].set()
        async with asyncio.timeout(10):
            while self._held[request_id] in self.store.slots.running():  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # it tells nobody


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Workshop]:
    url = f"sqlite:///{tmp_path}/bot.db"
    with opened(url, None):
        pass
    store, supervisor = Store(url), Supervisor()
    workshop = Workshop(store, supervisor)
    supervisor.keep_running("worker", workshop.worker.run)
    yield workshop
    await supervisor.stop(0)
    store.close()


async def test_work_that_is_scheduled_anew_while_it_is_done_is_done_again_at_once(
    workshop: Workshop,
) -> None:
    def due(unit: Unit) -> None:
        unit.schedule("check", "a", "digicert", unit.now)

    await workshop.store.write(due)
    await workshop.begins()
    await workshop.store.write(due)
    await workshop.looked()
    await workshop.end("a")
    assert await workshop.begins() == "a"
    await workshop.end("a")


async def test_what_ends_makes_room_for_what_waits(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "AT_ONCE_PER_LANE", 2)
    store = workshop.store

    def due(unit: Unit) -> None:
        unit.schedule_all([("check", name, "digicert", unit.now) for name in "abcd"])

    await store.write(due)
    assert {await workshop.begins(), await workshop.begins()} == {"a", "b"}
    await workshop.looked()
    await workshop.end("a")
    await workshop.end("b")
    assert [await workshop.begins(), await workshop.begins()] == ["c", "d"]
    for name in "cd":
        await workshop.end(name)


async def test_what_becomes_due_is_begun_without_a_look(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workshop.looked()
    monkeypatch.setattr(Unit, "claim_all", None)
    await workshop.store.write(lambda unit: unit.schedule("check", "a", "digicert", unit.now))
    assert await workshop.begins() == "a"
    await workshop.end("a")


async def test_what_was_taken_when_the_worker_stopped_is_begun_when_it_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"
    with opened(url, None):
        pass
    store, supervisor = Store(url), Supervisor()
    workshop = Workshop(store, supervisor)
    running = asyncio.ensure_future(workshop.worker.run())
    await workshop.looked()

    claim, closed = Unit.claim_at_once, threading.Event()

    def claim_and_stop(unit: Unit) -> None:
        claim(unit)
        running.get_loop().call_soon_threadsafe(running.cancel)
        closed.wait(10)

    running.add_done_callback(lambda _: closed.set())
    monkeypatch.setattr(Unit, "claim_at_once", claim_and_stop)
    due = store.write(lambda unit: unit.schedule("check", "a", "digicert", unit.now))
    await asyncio.gather(due, running, return_exceptions=True)
    monkeypatch.setattr(Unit, "claim_at_once", claim)
    assert store.read_now(lambda unit: unit.holders()) == {"0000000a"}
    assert workshop.begun.empty()
    assert store.slots.running() == ()
    supervisor.keep_running("worker", workshop.worker.run)
    assert await workshop.begins() == "a"
    await workshop.end("a")
    await supervisor.stop(0)
    store.close()


async def test_work_of_a_kind_that_this_version_does_not_know_waits_and_holds_up_nothing(
    workshop: Workshop,
) -> None:
    store = workshop.store
    await store.write(lambda unit: unit.schedule("astonish", "a", "digicert", unit.now))
    await store.write(lambda unit: unit.schedule("check", "b", "digicert", unit.now))
    assert await workshop.begins() == "b"
    await workshop.end("b")
    async with asyncio.timeout(10):
        while store.slots.running():  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # it tells nobody
    wait = store.read_now(lambda unit: unit.until_due())
    assert wait is not None
    assert timedelta(0) < wait < MINUTE


async def test_whoever_has_no_hand_free_does_not_look_until_there_is_one(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "AT_ONCE", 1)
    await workshop.store.write(
        lambda unit: unit.schedule_all([("check", each, "digicert", unit.now) for each in "ab"])
    )
    assert await workshop.begins() == "a"
    for _ in range(2):
        await workshop.looked()
        await workshop.store.read(lambda _unit: None)
        assert workshop.worker._look_at == inf
        workshop.worker.wake()
    await workshop.end("a")
    assert await workshop.begins() == "b"
    await workshop.end("b")
