"""How several workers on one Postgres know of each other, with real connections to a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from datetime import timedelta
from functools import partial
from itertools import count
from typing import TypeVar

import pytest
from sqlalchemy.engine import make_url

from bot.errors import StorageError
from bot.store import Store, Unit, presence
from bot.store.presence import GONE_AFTER, Presence
from bot.store.slots import AT_ONCE_PER_LANE, Terms
from bot.store.transaction import MESSAGES, WORK
from tests import past_the_bot, postgres
from tests.bot.stores import opened

T = TypeVar("T")
LEASE = timedelta(minutes=3)


@pytest.fixture
def storage() -> str:
    return "postgres"


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "LOOK_EVERY", 0.05)


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """Somebody's who has no such connection, as a process that only answers Slack."""
    with opened(database, None) as store:
        yield store


class Counting(Store):
    """Of a worker: it reads its database at each look, and at no other time."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.looks = 0

    async def read(self, work: Callable[[Unit], T]) -> T:
        found = await super().read(work)
        self.looks += 1
        return found


class Worker:
    """A connection, and a task that delivers for as long as it may."""

    def __init__(self, url: str) -> None:
        self.store = Counting(url)
        self.woken = 0
        self.heard_of: set[str] | None = None
        self.delivers = False
        self.deliveries = 0
        """How often delivering was begun."""
        self.store.on_news(lambda _news: self._wake())
        self.presence = Presence(url, self.store, self._wake)
        self.running: asyncio.Task[None] = asyncio.create_task(self.presence.run())
        self._delivering = asyncio.create_task(self.presence.while_delivering(self._deliver))

    def _wake(self, about: Collection[str] = ()) -> None:
        self.woken += 1
        self.heard_of = set(about)

    async def _deliver(self) -> None:
        self.deliveries += 1
        self.delivers = True
        try:
            await asyncio.Event().wait()
        finally:
            self.delivers = False

    async def dies(self) -> None:
        """Its connection is closed, as by the system of a process that was killed."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    def returns(self) -> None:
        self.running = asyncio.create_task(self.presence.run())

    async def looks(self, times: int) -> None:
        wanted = self.store.looks + times
        await until(lambda: self.store.looks >= wanted)

    def claims(self, store: Store) -> None:
        store.write_now(lambda unit: unit.schedule("cancel", "r1", "digicert", unit.now))
        token = f"{self.presence.name}1234"
        assert store.write_now(lambda unit: unit.claim(token, LEASE, ())) is not None

    async def end(self) -> None:
        for task in (self.running, self._delivering):
            task.cancel()
        await asyncio.gather(self.running, self._delivering, return_exceptions=True)
        self.store.close()


NewWorker = Callable[[], Awaitable[Worker]]


@pytest.fixture
async def new_worker(database: str) -> AsyncIterator[NewWorker]:
    workers: list[Worker] = []

    async def start() -> Worker:
        workers.append(Worker(database))
        await workers[-1].looks(1)
        return workers[-1]

    yield start
    for worker in workers:
        await worker.end()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # what happens in the server and in tasks tells nobody


def holders(store: Store) -> frozenset[str]:
    return store.read_now(lambda unit: unit.holders())


def hang_up(database: str, worker: Worker) -> None:
    """The server ends the session of this worker's connection."""
    with postgres.admin() as connection:
        name = f"countersign worker {worker.presence.name}"
        assert postgres.hang_up(connection, "application_name = %s", name) == 1


# --- news ---------------------------------------------------------------------------------------------


async def test_what_one_process_saves_wakes_the_workers_of_others(
    new_worker: NewWorker, store: Store
) -> None:
    one, other = await new_worker(), await new_worker()
    assert (one.woken, other.woken) == (1, 1), "once when they connected"
    store.write_now(lambda unit: unit.note("started", {}))
    store.write_now(lambda unit: unit.owe("r1", "card", request_id="r1", target="C1"))
    await until(lambda: (one.woken, other.woken) == (2, 2))
    store.write_now(lambda unit: unit.schedule("cancel", "r1", "digicert", unit.now))
    await until(lambda: (one.woken, other.woken) == (3, 3))
    for worker in (one, other):
        await worker.looks(3)
    assert (one.woken, other.woken) == (3, 3), "a note is no news"


async def test_a_process_is_not_woken_by_what_it_tells_the_others(new_worker: NewWorker) -> None:
    """It knows already, and would read everything once more after each of its own transactions."""
    one, other = await new_worker(), await new_worker()
    await one.store.write(lambda unit: unit.schedule("cancel", "r1", "digicert", unit.now))
    assert one.woken == 2, "told by its own store, at once"
    await until(lambda: other.woken == 2)
    for worker in (one, other):
        await worker.looks(3)
    assert (one.woken, other.woken) == (2, 2)


async def test_others_are_told_only_of_what_is_left_to_them(
    new_worker: NewWorker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look of theirs costs a reading, and would find nothing."""
    worker = await new_worker()

    numbers = count()

    def both(unit: Unit) -> None:
        unit.schedule("cancel", f"r{next(numbers)}", "digicert", unit.now)
        unit.owe("r1", "card", request_id="r1", target="C1")

    heard: list[set[str] | None] = []
    for taken in ((), (WORK,), (MESSAGES,), (WORK, MESSAGES), ()):
        store.slots.terms = Terms(f"{worker.presence.name}1234", LEASE) if WORK in taken else None
        monkeypatch.setattr(store, "delivers", partial(bool, MESSAGES in taken))
        worker.heard_of = None
        store.write_now(both)
        if len(taken) < 2:
            await until(lambda: worker.heard_of is not None)
            heard.append(worker.heard_of)
    assert heard == [{WORK, MESSAGES}, {MESSAGES}, {WORK}, {WORK, MESSAGES}]


async def test_others_are_told_of_more_work_than_finds_room_here(new_worker: NewWorker, store: Store) -> None:
    worker = await new_worker()
    store.slots.open(Terms(f"{worker.presence.name}1234", LEASE))

    def several(unit: Unit, number: int) -> None:
        unit.schedule_all([("cancel", f"{number}-{each}", "digicert", unit.now) for each in range(number)])

    store.write_now(lambda unit: several(unit, AT_ONCE_PER_LANE))
    store.write_now(lambda unit: unit.schedule("expire", "r1", "", unit.now + timedelta(days=1)))
    await worker.looks(3)
    assert worker.woken == 1
    store.write_now(lambda unit: several(unit, 1))
    await until(lambda: worker.woken == 2)
    store.write_now(lambda unit: unit.hasten("cancel", "digicert"))
    await until(lambda: worker.woken == 3)


async def test_a_process_of_an_earlier_version_that_says_nothing_is_heard_as_well(
    new_worker: NewWorker, database: str
) -> None:
    worker = await new_worker()
    with past_the_bot.connected(database) as client:
        client.change("NOTIFY countersign")
    await until(lambda: worker.woken == 2)
    assert worker.heard_of == {WORK, MESSAGES}


async def test_what_a_process_that_is_gone_kept_for_itself_is_looked_for(new_worker: NewWorker) -> None:
    gone, other = await new_worker(), await new_worker()
    await other.looks(2)
    woken = other.woken
    await gone.dies()
    await until(lambda: other.woken > woken)
    assert other.heard_of == {WORK, MESSAGES}


async def test_what_was_rolled_back_wakes_nobody(new_worker: NewWorker, store: Store) -> None:
    worker = await new_worker()

    def fails(unit: Unit) -> None:
        unit.schedule("cancel", "r1", "digicert", unit.now)
        raise RuntimeError("the middle of it")

    with pytest.raises(RuntimeError):
        store.write_now(fails)
    await worker.looks(3)
    assert worker.woken == 1


# --- who is alive -------------------------------------------------------------------------------------


async def test_what_a_worker_held_that_died_is_free_soon_and_others_are_told(
    new_worker: NewWorker, store: Store
) -> None:
    dying, other = await new_worker(), await new_worker()
    dying.claims(store)
    await other.looks(2 * GONE_AFTER)
    assert holders(store) == {dying.presence.name}, "as long as it lives it keeps what it holds"
    await until(lambda: other.woken == 2)
    await dying.dies()
    looks = other.store.looks
    await until(lambda: not holders(store))
    assert GONE_AFTER - 1 <= other.store.looks - looks <= GONE_AFTER + 1
    await until(lambda: other.woken == 4)  # that it is gone, and that its work is free
    assert store.write_now(lambda unit: unit.claim("another", LEASE, ())) is not None


async def test_a_worker_whose_connection_broke_keeps_its_claims_if_it_is_back_in_time(
    new_worker: NewWorker, store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, other = await new_worker(), await new_worker()
    worker.claims(store)
    monkeypatch.setattr(presence, "LOOK_EVERY", 0.5)
    for _ in range(2):
        hang_up(database, worker)
        with pytest.raises(StorageError):
            await worker.running
        await other.looks(1)
        worker.returns()
        await worker.looks(1)
    await other.looks(GONE_AFTER)
    assert holders(store) == {worker.presence.name}


async def test_a_worker_alone_frees_what_those_before_it_left(new_worker: NewWorker, store: Store) -> None:
    """All of them were killed; this is the first that was started again."""
    dying = await new_worker()
    dying.claims(store)
    await dying.dies()
    await new_worker()
    await until(lambda: not holders(store))


# --- who delivers -------------------------------------------------------------------------------------


async def test_one_of_several_delivers_and_another_takes_over_when_it_dies(new_worker: NewWorker) -> None:
    workers = [await new_worker() for _ in range(3)]
    await until(lambda: any(worker.delivers for worker in workers))
    for turn in range(3):
        for worker in workers:
            await worker.looks(2)
        (first,) = (worker for worker in workers if worker.delivers)
        await first.dies()
        workers.remove(first)
        await until(lambda gone=first: not gone.delivers)  # type: ignore[misc]
        if turn < 2:
            await until(lambda: any(worker.delivers for worker in workers))


async def test_whoever_loses_its_connection_stops_delivering_and_may_begin_again(
    new_worker: NewWorker, database: str
) -> None:
    worker = await new_worker()
    for times in (1, 2):
        await until(lambda: worker.delivers)
        hang_up(database, worker)
        with pytest.raises(StorageError, match=r"The connection to the database was lost \(\w+\)\."):
            await worker.running
        await until(lambda: not worker.delivers)
        assert (worker.woken, worker.deliveries) == (times, times)
        worker.returns()
    await until(lambda: worker.delivers)
    assert worker.woken == 3, "what was told in the meantime was not heard"


async def test_a_worker_that_stopped_without_a_word_loses_the_right_to_deliver(
    new_worker: NewWorker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stands: it was suspended, or its machine is off and nobody told the server."""
    with monkeypatch.context() as stopped:
        stopped.setattr(presence, "SILENCE", 0.3)
        stopped.setattr(presence, "LOOK_EVERY", 60)
        suspended = await new_worker()
        await until(lambda: suspended.delivers)
        suspended.claims(store)
    other = await new_worker()
    await until(lambda: other.delivers)
    await until(lambda: not holders(store))


async def test_what_delivers_and_fails_is_heard_of(new_worker: NewWorker) -> None:
    worker = await new_worker()

    async def fails() -> None:
        raise RuntimeError("Slack said something new")

    with pytest.raises(RuntimeError, match="something new"):
        await asyncio.wait_for(worker.presence.while_delivering(fails), 10)


# --- no connection ------------------------------------------------------------------------------------


async def test_a_server_that_refuses_is_an_error_without_the_password(database: str) -> None:
    with postgres.somebody(database, password="the right one") as url:
        wrong = make_url(url).set(password="c4n4ry wrong").render_as_string(hide_password=False)
        with opened(wrong, None) as store, pytest.raises(StorageError) as caught:
            await Presence(wrong, store, lambda _about: None).run()
        assert caught.value.advice == "The connection to the database was lost (OperationalError)."
        assert caught.value.__cause__ is None
        connected = asyncio.Event()
        with opened(url, None) as store:
            running = asyncio.create_task(Presence(url, store, lambda _about: connected.set()).run())
            await asyncio.wait_for(connected.wait(), 10)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
