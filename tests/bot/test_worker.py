"""What is due is taken as soon as there is room for it, whatever happens at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bot import worker
from bot.agenda import Kind
from bot.store import Store, Unit
from bot.store.transaction import News, utc_now
from bot.supervise import Supervisor
from bot.worker import Deadlines, Held, Worker
from tests.bot.stores import opened

T = TypeVar("T")
MINUTE = timedelta(minutes=1)
NEVER = 3600.0


class Gated(Store):
    """A claim is committed, and its answer is on its way until the gate is open."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_behind_the_gate = asyncio.Event()

    async def write(self, work: Callable[[Unit], T]) -> T:
        answer = await super().write(work)
        if isinstance(answer, tuple) and isinstance(answer[0], list) and answer[0]:
            self.is_behind_the_gate.set()
            await self.gate.wait()
        return answer


class Workshop:
    """A worker whose actions end when they are told to."""

    def __init__(self, store: Gated, supervisor: Supervisor) -> None:
        self.store = store
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self._ends: dict[str, asyncio.Event] = {}
        self._ended = asyncio.Event()
        deadlines = Deadlines(MINUTE, MINUTE, MINUTE)
        nobody: Any = None
        self.worker = Worker(store, nobody, nobody, deadlines, supervisor, utc_now, idle=NEVER)
        self.worker._actions[Kind.CHECK] = self._check
        store.on_news(self._tell)

    def _tell(self, news: News) -> None:
        if news.due_in is not None:
            self.worker.wake_in(news.due_in)

    async def _check(self, held: Held) -> None:
        self._ends[held.request_id] = asyncio.Event()
        self.begun.put_nowait(held.request_id)
        await self._ends[held.request_id].wait()

    async def begins(self) -> str:
        async with asyncio.timeout(10):
            return await self.begun.get()

    async def looked(self) -> None:
        """Return when the worker has seen that nothing is due that it may begin."""
        async with asyncio.timeout(10):
            while self.worker._look_at != inf:  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # it tells nobody

    async def end(self, request_id: str) -> None:
        """Return when it does not count any more."""
        running = len(self.worker._running)
        self._ends[request_id].set()
        async with asyncio.timeout(10):
            while len(self.worker._running) == running:  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # it tells nobody


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Workshop]:
    url = f"sqlite:///{tmp_path}/bot.db"
    with opened(url, None):
        pass
    store, supervisor = Gated(url), Supervisor()
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


async def test_what_ends_while_more_is_being_claimed_makes_room_at_once(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "AT_ONCE_PER_PROVIDER", 2)
    store = workshop.store

    def due(unit: Unit) -> None:
        unit.schedule_all([("check", name, "digicert", unit.now) for name in "abcd"])

    await store.write(due)
    assert {await workshop.begins(), await workshop.begins()} == {"a", "b"}
    store.gate.clear()
    store.is_behind_the_gate.clear()
    await workshop.end("a")
    await store.is_behind_the_gate.wait()
    await workshop.end("b")
    store.gate.set()
    assert [await workshop.begins(), await workshop.begins()] == ["c", "d"]
    for name in "cd":
        await workshop.end(name)
