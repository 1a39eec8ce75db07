"""The numbers of the last thirty days: counted bit by bit, and always as if all had been counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from random import Random

import pytest

from bot import lately
from bot.events import Denied, Event, Expired
from bot.lately import A_DAY, DAYS, Lately
from bot.model import State
from bot.store import Store, Unit
from bot.store.chain import Head
from tests.bot.builders import BOB, NOW
from tests.bot.stores import Clock, opened
from tests.bot.test_store import begin, present, save

HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(database: str, clock: Clock) -> Iterator[Store]:
    with opened(database, clock) as store:
        yield store


def counted(store: Store, known: Lately | None = None) -> Lately:
    return store.read_now(lambda unit: lately.count(unit, unit.head(), unit.now.date(), known))


def test_bit_by_bit_is_the_same_as_all_at_once_and_as_what_happened(store: Store, clock: Clock) -> None:
    random, known, made = Random(4), counted(store), dict[str, date]()  # noqa: S311  (no secret)
    became: dict[str, State] = {}
    endings: list[tuple[Event, State]] = [(Denied(BOB, "no"), State.DENIED), (Expired(), State.EXPIRED)]
    for number in range(120):
        clock.advance(random.choice([timedelta(0), HOUR, 80 * HOUR]))
        undecided = [one for one, state in became.items() if state is State.CHECKING]
        if undecided and random.random() < 0.6:
            one = random.choice(undecided)
            event, became[one] = random.choice(endings)
            save(store, present(store, one), event)
        else:
            one = begin(store, f"r{number}", f"key{number}").id
            made[one], became[one] = clock.now.date(), State.CHECKING
        if random.random() < 0.7:
            known = counted(store, known)
            recent = [one for one, day in made.items() if clock.now.date() - day < DAYS * A_DAY]
            assert known.counts == counted(store).counts == Counter(became[one] for one in recent)
    assert clock.now - NOW > 2 * DAYS * A_DAY


def test_only_days_whose_requests_changed_are_counted_anew(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(store, "old")
    clock.advance(3 * A_DAY)
    begin(store, "new", "another key")
    known = counted(store)
    anew: list[datetime] = []
    counts = Unit.counts

    def noted(unit: Unit, since: datetime, before: datetime) -> dict[State, int]:
        anew.append(since)
        return counts(unit, since, before)

    monkeypatch.setattr(Unit, "counts", noted)
    counted(store, known)
    assert anew == []
    save(store, present(store, "old"), Expired())
    known = counted(store, known)
    assert [since.date() for since in anew] == [NOW.date()]
    clock.advance(A_DAY)
    counted(store, known)
    assert [since.date() for since in anew[1:]] == [(clock.now + A_DAY).date()], "a new day has begun"


def test_what_was_asked_for_before_the_clock_was_set_back_counts(store: Store, clock: Clock) -> None:
    begin(store)
    clock.now -= timedelta(hours=4)
    assert clock.now.date() < NOW.date()
    assert counted(store).counts == {State.CHECKING: 1}


def test_what_was_counted_in_another_history_does_not_count(store: Store) -> None:
    begin(store)
    of_another = replace(counted(store), head=Head(1, "f" * 64))
    save(store, present(store), Expired())
    assert counted(store, of_another).counts == {State.EXPIRED: 1}


def test_after_a_long_while_all_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately, "FOLLOWED_AT_MOST", 0)
    monkeypatch.setattr(Unit, "made_of_changed", lambda *_: [])  # what would be kept is wrong
    begin(store)
    known = counted(store)
    save(store, present(store), Expired())
    assert counted(store, known).counts == {State.EXPIRED: 1}
