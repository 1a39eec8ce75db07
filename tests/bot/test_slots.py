"""Whoever saves work that is due at once takes it for the worker of the same process, if that has room."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from itertools import count
from math import inf

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from bot.errors import StorageError
from bot.store import Store, Unit, slots
from bot.store.slots import Terms
from bot.store.transaction import News
from tests.bot.stores import Clock, opened
from tests.bot.test_together import at_each, busy, counted, several
from tests.past_the_bot import rows

LEASE = timedelta(minutes=3)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: str, clock: Clock) -> Iterator[Store]:
    with opened(database, clock) as store:
        store.slots.open(Terms("mine", LEASE))
        yield store


@pytest.fixture
def told(store: Store) -> list[News]:
    heard: list[News] = []
    store.on_news(heard.append)
    return heard


def due(*keys: str, lane: str = "digicert", wait: timedelta = timedelta(0)) -> Callable[[Unit], None]:
    def work(unit: Unit) -> None:
        unit.schedule_all([("check", key, lane, unit.now + wait) for key in keys])

    return work


def taken(news: News) -> list[str]:
    return [one.key for one in news.claimed]


def locked() -> OperationalError:
    return OperationalError("COMMIT", None, sqlite3.OperationalError("database is locked"))


async def test_what_becomes_due_is_taken_in_the_transaction_that_says_so(
    store: Store, database: str, told: list[News]
) -> None:
    with counted("commit") as commits:
        await store.write(due("a"))
    assert len(commits) == 1
    (news,) = told
    assert (taken(news), news.due_now, news.due_in) == (["a"], 0, None)
    assert rows(database, "SELECT token, runs FROM action") == [("mine", 1)]
    assert store.read_now(lambda unit: unit.until_due()) == LEASE
    assert store.write_now(lambda unit: unit.claim("another", LEASE, ())) is None


async def test_what_is_due_later_is_left_and_when_that_is_is_told(store: Store, told: list[News]) -> None:
    await store.write(due("a", wait=MINUTE))
    (news,) = told
    assert (taken(news), news.due_now, news.due_in) == ([], 0, MINUTE)


async def test_where_no_worker_is_nothing_is_taken(store: Store, told: list[News]) -> None:
    store.slots.close()
    await store.write(due("a"))
    (news,) = told
    assert (taken(news), news.due_now, news.due_in) == ([], 1, timedelta(0))


async def test_no_more_is_taken_than_there_is_room_for_and_the_rest_waits_for_its_turn(
    store: Store, told: list[News], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "AT_ONCE_PER_LANE", 2)
    await store.write(due("a", "b", "c"))
    first = told.pop()
    assert (taken(first), first.due_now) == (["a", "b"], 1)
    (done, _) = first.claimed
    await store.write(lambda unit: unit.finish(done.id, "mine"))
    assert store.slots.let_go([done]), "this is room for somebody who waits"
    await store.write(due("d"))
    assert taken(told.pop()) == [], "it does not overtake"
    await store.write(due("e", lane="cpanel"))
    assert taken(told.pop()) == ["e"], "nothing waits there"
    assert await store.write(lambda unit: unit.claim_all()) is None
    (third,) = told.pop().claimed
    assert third.key == "c"
    await store.write(lambda unit: unit.finish(third.id, "mine"))
    store.slots.let_go([third])
    await store.write(due("f"))
    assert taken(told.pop()) == [], "another one waits still"
    for one in store.read_now(lambda unit: unit.held("mine")):
        await store.write(lambda unit, one=one: unit.finish(one.id, "mine"))  # type: ignore[misc]
        store.slots.let_go([one])
    await store.write(lambda unit: unit.claim_all())
    assert taken(told.pop()) == ["d", "f"]


async def test_a_lane_whose_turn_has_come_is_taken_from_at_once_again(
    store: Store, told: list[News], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "AT_ONCE_PER_LANE", 1)
    await store.write(due("a", "b"))
    (one,) = told.pop().claimed
    for each in (one, None):
        if each is not None:
            await store.write(lambda unit: unit.finish(one.id, "mine"))
            store.slots.let_go([one])
        await store.write(lambda unit: unit.claim_all())
    (two,) = told.pop().claimed
    await store.write(lambda unit: unit.finish(two.id, "mine"))
    assert store.slots.let_go([two])
    await store.write(lambda unit: unit.claim_all())
    await store.write(due("c"))
    assert taken(told.pop()) == ["c"]


async def test_nothing_is_taken_beyond_what_is_done_at_once_in_all(
    store: Store, told: list[News], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "AT_ONCE", 2)
    await store.write(due("a", lane="cpanel"))
    await store.write(due("b", lane="digicert"))
    await store.write(due("c", lane="cpanel"))
    assert [taken(news) for news in told] == [["a"], ["b"], []]
    await store.write(lambda unit: unit.claim_all())
    assert len(store.slots.running()) == 2
    assert not store.slots.are_free
    (first,) = told[0].claimed
    await store.write(lambda unit: unit.finish(first.id, "mine"))
    assert store.slots.let_go([first]), "this is room for somebody who waits"
    await store.write(due("d", lane="cpanel"))
    assert taken(told.pop()) == [], "it does not overtake"
    await store.write(lambda unit: unit.claim_all())
    assert taken(told.pop()) == ["c"]


async def test_however_much_hangs_a_lane_in_which_nothing_is_under_way_goes_on(
    store: Store, told: list[News], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "AT_ONCE", 2)
    await store.write(due("a", "b", "c", lane="cpanel"))
    await store.write(due("d", "e", lane=""))
    assert [taken(news) for news in told] == [["a", "b"], ["d"]]
    (timer,) = told[1].claimed
    await store.write(lambda unit: unit.finish(timer.id, "mine"))
    assert store.slots.let_go([timer])
    told.clear()
    await store.write(lambda unit: unit.claim_all())
    assert [taken(news) for news in told] == [["e"]], "although others have waited for longer"


async def test_closed_slots_take_nothing_and_a_claim_is_held_as_long_as_agreed(
    store: Store, database: str, told: list[News]
) -> None:
    store.slots.close()
    await store.write(due("a"))
    assert await store.write(lambda unit: unit.claim_all()) is None
    assert store.slots.running() == ()
    store.slots.open(Terms("mine", LEASE))
    assert await store.write(lambda unit: unit.claim_all()) is None, "what is under way here is left out"
    assert taken(told.pop()) == ["a"]
    assert store.read_now(lambda unit: unit.until_due()) == LEASE


async def test_others_are_told_of_what_is_due_later_only_where_nobody_here_has_a_slot_free(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = News(MINUTE, 0, (), frozenset(), frozenset())
    at_once = News(timedelta(0), 1, (), frozenset(), frozenset())
    assert (store.to_tell(later), store.to_tell(at_once)) == ([], ["work"])
    with monkeypatch.context() as full:
        full.setattr(slots, "AT_ONCE", 0)
        assert store.to_tell(later) == ["work"]
    store.slots.close()
    assert store.to_tell(later) == ["work"]


async def test_what_is_under_way_is_not_taken_a_second_time(store: Store, told: list[News]) -> None:
    await store.write(due("a"))
    await store.write(due("a"))
    (only,) = told
    assert (taken(only), only.due_now) == (["a"], 0), "whoever does it will see; others must not begin it"


async def test_what_is_put_off_in_the_same_transaction_is_not_taken(store: Store, told: list[News]) -> None:
    def work(unit: Unit) -> None:
        due("a")(unit)
        due("a", wait=MINUTE)(unit)

    await store.write(work)
    (news,) = told
    assert (taken(news), news.due_now, news.due_in) == ([], 0, MINUTE)


async def test_what_is_hastened_is_not_counted_so_somebody_has_to_look(
    store: Store, told: list[News]
) -> None:
    await store.write(lambda unit: unit.hasten("check", ""))
    assert [(news.due_in, news.due_now) for news in told] == [(timedelta(0), inf)]


async def test_what_was_taken_in_vain_is_let_go_and_taken_once(store: Store, told: list[News]) -> None:
    def fail(_unit: Unit) -> None:
        raise LookupError

    await several(store, due("a"), due("b"), fail, due("c"))
    assert sorted(key for news in told for key in taken(news)) == ["a", "b", "c"]
    assert len(store.slots.running()) == 3
    assert store.slots._lanes.total() == 3


async def test_when_nothing_could_be_written_nothing_is_held(store: Store, told: list[News]) -> None:
    def fail(_connection: object) -> None:
        raise locked()

    with at_each("commit", fail), pytest.raises(StorageError):
        await store.write(due("a"))
    assert store.slots.running() == ()
    assert {news.due_in for news in told} == {timedelta(0)}, "it may have been committed all the same"
    await store.write(lambda unit: unit.claim_all())
    assert store.slots.running() == ()


async def test_a_claim_whose_commit_was_not_heard_of_is_taken_again_by_its_own_worker(
    store: Store, clock: Clock, told: list[News], monkeypatch: pytest.MonkeyPatch
) -> None:
    def once(unit: Unit) -> None:
        if unit.until_due() is None:
            due("a")(unit)

    transaction, answers = store._writer.transaction, iter([locked()])

    @contextmanager
    def deaf() -> Iterator[Connection]:
        with transaction() as connection:
            yield connection
        for lost in answers:
            raise lost

    monkeypatch.setattr(store._writer, "transaction", deaf)
    await store.write(once)
    assert [(taken(news), news.due_in) for news in told] == [([], timedelta(0))]
    assert store.slots.running() == ()
    clock.advance(LEASE - timedelta(seconds=1))
    await store.write(lambda unit: unit.claim_all())
    (again,) = told[1:]
    assert [(one.key, one.runs) for one in again.claimed] == [("a", 1)]
    assert len(store.slots.running()) == 1
    assert store.read_now(lambda unit: unit.until_due()) == LEASE, "others must not take it over right away"


async def test_of_what_may_have_been_committed_in_vain_somebody_is_told_even_if_nobody_waits(
    store: Store, told: list[News]
) -> None:
    """The answer to the commit of several is lost, and one of those who waited has gone."""
    heard_of_both = asyncio.Event()
    store.on_news(lambda _news: heard_of_both.set() if len(told) == 3 else None)
    both: list[asyncio.Future[None]] = []
    loop, commits = asyncio.get_running_loop(), count()

    def fail(_connection: object) -> None:
        if next(commits) == 1:
            cancelled = threading.Event()
            loop.call_soon_threadsafe(lambda: (both[1].cancel(), loop.call_soon(cancelled.set)))
            cancelled.wait(10)
            raise locked()

    with at_each("commit", fail):
        async with busy(store.write):
            both += [asyncio.ensure_future(store.write(due(key))) for key in ("b", "a")]
        async with asyncio.timeout(10):
            await heard_of_both.wait()
    assert sorted((taken(news), news.due_now) for news in told) == [([], 1), ([], 1), (["b"], 0)]
    assert len(store.slots.running()) == 1


async def test_what_was_taken_is_told_even_if_whoever_saved_it_is_gone(
    store: Store, told: list[News]
) -> None:
    heard = asyncio.Event()
    store.on_news(lambda _news: heard.set())
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def work(unit: Unit) -> None:
        due("a")(unit)
        loop.call_soon_threadsafe(begun.set)

    saving = asyncio.ensure_future(store.write(work))
    await begun.wait()
    saving.cancel()
    async with asyncio.timeout(10):
        await heard.wait()
    assert taken(told[0]) == ["a"]


async def test_what_was_taken_is_not_done_in_the_name_of_whoever_saved_it(store: Store) -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody")
    names: list[str] = []
    store.on_news(lambda _news: names.append(name.get()))
    name.set("bob")
    await store.write(due("a"))
    assert names == ["nobody"]
