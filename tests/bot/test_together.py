"""What waits for the database is done in one transaction, and nobody notices but by the time it takes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from bot.errors import StorageError
from bot.events import Denied
from bot.store import Store, Unit, deadline, slots, together, within
from bot.store.chain import Head
from bot.store.slots import Terms
from bot.store.transaction import News
from tests.bot.builders import BOB, CAROL, NOW
from tests.bot.stores import Clock, opened, told_to_the_driver
from tests.bot.test_store import begin, present, requested
from tests.past_the_bot import rows


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, no transaction ends because of that."""
    monkeypatch.setattr(together, "monotonic", lambda: 0.0)


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with opened(database, Clock()) as store:
        yield store


@contextmanager
def at_each(what: str, call: Callable[[object], None]) -> Iterator[None]:
    """`what`: the begin or the commit of a transaction."""
    event.listen(Engine, what, call)
    try:
        yield
    finally:
        event.remove(Engine, what, call)


@contextmanager
def counted(what: str) -> Iterator[list[object]]:
    seen: list[object] = []
    count = seen.append
    with at_each(what, count):
        yield seen


@asynccontextmanager
async def busy(do: Callable[[Callable[[Unit], object]], Awaitable[object]]) -> AsyncIterator[None]:
    """The thread is in the middle of a transaction; what is asked for in here has to wait for its end."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def first(_unit: Unit) -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)

    doing = asyncio.ensure_future(do(first))
    try:
        await begun.wait()
        yield
        await asyncio.sleep(0)  # what was asked for as a task is in the queue now
    finally:
        go_on.set()
        await doing


def note(number: int) -> Callable[[Unit], int]:
    def work(unit: Unit) -> int:
        unit.note("number", {"number": number})
        return number

    return work


def noted(database: str) -> list[str]:
    """As others see it."""
    return [str(body) for (body,) in rows(database, "SELECT body FROM event ORDER BY seq")]


def numbers(store: Store) -> list[int]:
    return [each["number"] for each in store.read_now(lambda unit: unit.notes("number"))]


async def several(store: Store, *works: Callable[[Unit], Any]) -> list[Any]:
    """What becomes of them when all wait for the same thread: results or exceptions."""
    async with busy(store.write):
        asked = [asyncio.ensure_future(store.write(work)) for work in works]
    return await asyncio.gather(*asked, return_exceptions=True)


async def test_what_waits_is_written_in_one_transaction_in_the_order_it_was_asked_for(store: Store) -> None:
    with counted("commit") as commits:
        assert await several(store, *map(note, range(5))) == [0, 1, 2, 3, 4]
    assert len(commits) == 2, "the one that they waited for, and their own"
    assert numbers(store) == [0, 1, 2, 3, 4]


async def test_what_one_of_them_changes_the_next_one_knows(store: Store) -> None:
    """The end of the history and who watches are read once for all of them."""

    def watchers(unit: Unit) -> list[str]:
        return [person.user for person in unit.home_watchers(NOW - timedelta(days=1), 9)]

    def opens(unit: Unit) -> None:
        unit.home_opened(str(BOB))

    def head(unit: Unit) -> Head:
        return unit.head()

    with told_to_the_driver() as told:
        found = await several(store, watchers, head, note(1), head, opens, watchers, note(2), head)
    before, first, last = found[1], found[3], found[7]
    assert (found[0], found[5]) == ([], [BOB.user])
    assert [before.seq, first.seq, last.seq] == [0, 1, 2]
    looks = [words for words, _ in told if "ORDER BY event.seq DESC" in words]
    assert len(looks) == 1
    assert last == store.read_now(lambda unit: unit.head())
    assert store.read_now(lambda unit: unit.verify(Head())) == last


async def test_nobody_is_told_before_it_is_durable(store: Store, database: str) -> None:
    seen: list[int] = []

    async def write(number: int) -> None:
        await store.write(note(number))
        seen.append(len(noted(database)))

    async with busy(store.write):
        writing = [asyncio.ensure_future(write(number)) for number in range(3)]
    await asyncio.gather(*writing)
    assert seen == [3, 3, 3]


async def test_one_that_fails_takes_nothing_of_the_others_with_it(store: Store) -> None:
    def fails(unit: Unit) -> None:
        unit.note("number", {"number": 13})
        raise RuntimeError("the middle of it")

    first, failed, last = await several(store, note(1), fails, note(2))
    assert (first, last) == (1, 2)
    assert isinstance(failed, RuntimeError)
    assert numbers(store) == [1, 2]


async def test_of_two_who_decided_on_the_same_version_only_one_is_written(store: Store) -> None:
    before = begin(store)
    saved, refused = await several(
        store,
        lambda unit: unit.save(before, [Denied(BOB, "no")]),
        lambda unit: unit.save(before, [Denied(CAROL, "never")]),
    )
    assert present(store) == saved
    assert isinstance(refused, StorageError)
    assert saved.decided_by == BOB


async def test_when_the_commit_fails_each_is_written_once(store: Store) -> None:
    run: list[str] = []

    def fail(_connection: object) -> None:
        if run == ["second"]:
            run.append("the commit failed")
            raise OperationalError("COMMIT", {}, sqlite3.OperationalError("database is locked"))

    def second(unit: Unit) -> int:
        run.append("second")
        return note(1)(unit)

    with at_each("commit", fail):
        assert await several(store, note(0), second, note(2)) == [0, 1, 2]
    assert run == ["second", "the commit failed", "second"]
    assert numbers(store) == [0, 1, 2]


async def test_when_the_database_cannot_be_written_everybody_is_told_and_nothing_is(store: Store) -> None:
    def refuse(_connection: object) -> None:
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    async with AsyncExitStack() as stack:
        async with busy(store.write):
            asked = [asyncio.ensure_future(store.write(note(number))) for number in range(3)]
            stack.enter_context(at_each("begin", refuse))
        problems = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(problem) for problem in problems] == [StorageError] * 3
    assert numbers(store) == []


async def test_what_nobody_waits_for_any_more_is_left_out_unless_it_was_begun(store: Store) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    go_on = threading.Event()

    def slowly(unit: Unit) -> None:
        note(13)(unit)
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)

    writing = asyncio.ensure_future(store.write(slowly))
    await begun.wait()
    asked = [asyncio.ensure_future(store.write(note(number))) for number in range(3)]
    await asyncio.sleep(0)
    for gone in (writing, asked[1]):
        gone.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert [await asked[0], await asked[2]] == [0, 2]
    assert numbers(store) == [13, 0, 2]


class Late:
    """It is this late, by the clock of the deadlines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(deadline, "monotonic", lambda: self.now)


async def test_what_somebody_waited_for_too_long_is_not_begun_and_the_others_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Late(monkeypatch)
    with counted("commit") as commits:
        async with busy(store.write):
            with within(3):
                asked = [asyncio.ensure_future(store.write(note(1)))]
            with within(2):
                asked += [asyncio.ensure_future(store.write(note(2)))]
                asked += [asyncio.ensure_future(store.write(note(3), even_late=True))]
            asked += [asyncio.ensure_future(store.write(note(4)))]  # no block is in force any more
            late.now = 2
        first, too_late, *others = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(too_late, StorageError)
    assert "nothing was done" in too_late.advice
    assert [first, *others] == numbers(store) == [1, 3, 4]
    assert len(commits) == 2, "the one that they waited for, and one for the three that are in time"


async def test_what_the_database_was_too_busy_for_is_not_tried_after_its_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, tried = Late(monkeypatch), []

    def takes_a_second(_connection: object) -> None:
        tried.append(late.now)
        late.now += 1
        raise OperationalError("BEGIN", {}, sqlite3.OperationalError("database is locked"))

    with at_each("begin", takes_a_second), within(2.5), pytest.raises(StorageError):
        await store.write(note(1))
    assert tried == [0, 1, 2]
    assert numbers(store) == []


async def test_what_may_have_been_committed_is_told_and_not_called_undone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit was not heard of, and it is too late to try it once more."""
    late, told = Late(monkeypatch), list[News]()
    store.on_news(told.append)

    def is_lost(_connection: object) -> None:
        late.now = 3
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("database is locked"))

    def owe(unit: Unit) -> None:
        unit.owe("r1", "card", request_id="r1", target="C1")

    with at_each("commit", is_lost), within(2), pytest.raises(StorageError, match="not known whether"):
        await store.write(owe)
    await asyncio.sleep(0)
    assert [news.owed_in for news in told] == [{"r1"}]


async def test_what_waited_too_long_for_its_transaction_to_begin_is_not_written_in_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Late(monkeypatch)

    def takes_a_second(_connection: object) -> None:
        late.now += 1

    with at_each("begin", takes_a_second), within(0.5), pytest.raises(StorageError):
        await store.write(note(1))
    assert numbers(store) == []


async def test_an_end_of_the_process_waits_for_one_piece_and_not_for_all_that_is_queued(
    database: str, tmp_path: Path
) -> None:
    with opened(database, Clock()) as store:
        async with busy(store.write):
            asked = [asyncio.ensure_future(store.write(note(number))) for number in range(8)]
            await asyncio.sleep(0)
            for one in asked:
                one.cancel()
            await asyncio.sleep(0)
        store.close()
    with opened(database, Clock()) as store:
        assert numbers(store) == []


async def test_where_the_database_is_busy_all_of_them_wait_and_are_done_together_later(store: Store) -> None:
    refused: list[int] = []

    def busy_twice(_connection: object) -> None:
        if len(refused) < 2:
            refused.append(1)
            raise OperationalError("BEGIN", {}, sqlite3.OperationalError("database is locked"))

    async with AsyncExitStack() as stack:
        async with busy(store.write):
            asked = [asyncio.ensure_future(store.write(note(number))) for number in range(5)]
            stack.enter_context(at_each("begin", busy_twice))
        commits = stack.enter_context(counted("commit"))
        assert await asyncio.gather(*asked) == [0, 1, 2, 3, 4]
    assert len(refused) == 2
    assert len(commits) <= 3, "the one they waited for, the first of them, and the rest together"
    assert numbers(store) == [0, 1, 2, 3, 4]


async def test_everybody_is_told_of_what_became_due_and_is_owed_by_any_of_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here of each, and the others of all together: one is taken here, and for two there is no room."""
    here: list[News] = []
    others: list[str] = []
    store.on_news(here.append)
    store.slots.open(Terms("mine", timedelta(minutes=1)))
    monkeypatch.setattr(slots, "AT_ONCE", 1)
    monkeypatch.setattr(store._database, "tell", lambda _connection, words: others.append(words))

    def plan(unit: Unit) -> None:
        unit.schedule("check", f"r{len(here)}", "digicert", unit.now)

    def owe(unit: Unit) -> None:
        unit.owe("r1", "card", request_id="r1", target="C1")

    await several(store, plan, plan)
    assert [(len(news.claimed), news.due_now) for news in here] == [(1, 0), (0, 1)]
    assert [words.split()[1:] for words in others] == [["work"]]
    store.slots.let_go(here[0].claimed)
    store.slots.everybody_had_their_turn()
    await several(store, plan, owe)
    assert [words.split()[1:] for words in others[1:]] == [["messages"]]


def contents(file: Path) -> str:
    return file.read_bytes().decode(errors="replace")


async def test_what_was_wiped_by_any_of_them_is_gone_from_the_files(tmp_path: Path) -> None:
    with opened(tmp_path / "bot.db", Clock()) as store:
        secret = "a reference that nobody may read"
        before = store.write_now(lambda unit: unit.begin("r1", requested("key", "why"), secret))
        await several(store, lambda unit: unit.save(before, [Denied(BOB, "no")]), note(1), note(2))
        store._write_thread.submit(lambda: None).result()  # behind what tidies up
        assert not [name for name in os.listdir(tmp_path) if secret in contents(tmp_path / name)]


async def test_no_more_than_so_many_are_done_at_once(store: Store) -> None:
    with counted("commit") as commits:
        many = list(range(2 * together.AT_MOST + 1))
        assert await several(store, *map(note, many)) == many
    assert len(commits) == 1 + 3
    assert numbers(store) == many


async def test_when_a_transaction_takes_long_the_rest_waits_for_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(together, "monotonic", lambda: now)

    def slow(number: int) -> Callable[[Unit], int]:
        def work(unit: Unit) -> int:
            nonlocal now
            now += 0.4 * together.LONG_ENOUGH
            return note(number)(unit)

        return work

    with counted("commit") as commits:
        many = list(range(together.AT_MOST + 4))
        assert await several(store, *map(slow, many)) == many
    assert len(commits) == 1 + len(many) / 3, "three at a time"
    assert numbers(store) == many, "in the order in which they were asked for"


async def test_who_reads_sees_all_that_was_committed_before(store: Store) -> None:
    async with busy(store.read):
        early = asyncio.ensure_future(store.read(lambda unit: unit.notes("number")))
        await store.write(note(1))
        late = asyncio.ensure_future(store.read(lambda unit: unit.notes("number")))
    assert await late == [{"number": 1}]
    assert await early == [{"number": 1}], "it had to wait, and saw what there was when its turn came"


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
async def test_what_is_done_together_is_done_at_one_moment(database: str) -> None:
    ticks = count()
    with opened(database, lambda: NOW + next(ticks) * timedelta(seconds=1)) as store:
        moments = await several(store, *[lambda unit: unit.now] * 4)
    assert len(set(moments)) == 1


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
async def test_what_waits_is_read_together_at_one_moment(database: str) -> None:
    ticks = count()
    with (
        opened(database, lambda: NOW + next(ticks) * timedelta(seconds=1)) as store,
        counted("begin") as begins,
    ):
        async with busy(store.read):
            asked = [asyncio.ensure_future(store.read(lambda unit: unit.now)) for _ in range(4)]
        moments = await asyncio.gather(*asked)
    assert len(begins) == 2
    assert len(set(moments)) == 1


async def test_one_reading_that_fails_does_not_concern_the_others(store: Store) -> None:
    async with busy(store.read):
        bad = asyncio.ensure_future(store.read(lambda unit: 1 // 0))
        good = asyncio.ensure_future(store.read(lambda unit: unit.notes("number")))
    assert await good == []
    with pytest.raises(ZeroDivisionError):
        await bad


async def test_what_goes_wrong_behind_an_answer_holds_up_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> bool:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr(store._database, "tidy", fail)
    before = begin(store)
    await store.write(lambda unit: unit.save(before, [Denied(BOB, "no")]))  # wipes its reference
    assert [await store.write(note(number)) for number in range(3)] == [0, 1, 2]


async def test_a_store_that_is_closed_says_so(store: Store) -> None:
    store.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="shutdown"):
            await store.write(note(1))


async def test_what_was_asked_for_before_the_end_is_done(database: str) -> None:
    with opened(database, Clock()) as store:
        async with busy(store.write):
            asked = [asyncio.ensure_future(store.write(note(number))) for number in range(3)]
        store.close()
        assert await asyncio.gather(*asked) == [0, 1, 2]


WISHES = st.lists(st.tuples(st.sampled_from(["note", "fail", "ask", "deny", "clash"]), st.integers(0, 3)))


def do(wish: tuple[str, int], unit: Unit) -> str:
    """Something that may go well or not, depending on what was done before."""
    kind, number = wish
    unit.note("number", {"number": number})
    name = f"r{number}"
    request = unit.request(name)
    if kind == "fail":
        raise RuntimeError(str(number))
    if kind == "ask":
        unit.begin(name, requested(name, "why"), "4711")  # fails where it is there already
    if kind == "deny" and request is not None:
        unit.save(request, [Denied(BOB, "no")])
    if kind == "clash" and request is not None:
        unit.save(request, [Denied(BOB, "no")])
        unit.save(request, [Denied(BOB, "no")])  # it is not what it was
    return kind


@given(WISHES)
@settings(max_examples=40, deadline=None)
def test_together_comes_to_the_same_as_one_by_one(wishes: list[tuple[str, int]]) -> None:
    works = [lambda unit, wish=wish: do(wish, unit) for wish in wishes]

    async def one_by_one(store: Store) -> list[Any]:
        return [(await asyncio.gather(store.write(work), return_exceptions=True))[0] for work in works]

    async def at_once(store: Store) -> list[Any]:
        return await several(store, *works)

    came: list[Any] = []
    for way in (one_by_one, at_once):
        with TemporaryDirectory() as folder, opened(Path(folder, "bot.db"), Clock()) as store:
            results = asyncio.run(way(store))
            chain = store.read_now(lambda unit: unit.verify(Head()))
            requests = store.read_now(lambda unit: unit.requests())
        came.append(([repr(each) for each in results], chain, requests))
    assert came[0] == came[1]
