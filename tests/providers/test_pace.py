"""How often a provider is called: never more often than it allows, and no cancel goes out late."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import digicert
from providers.contract import Provider, Result, Standing
from providers.http import Http, HttpLimits, Pace
from sandbox.vendors.vendor import Vendor
from tests.providers.conftest import PAIRS, connect
from tests.providers.raw import RawServer, answers, failure, hangs_up, listening


class Clock:
    """Time that passes only when somebody sleeps, and then a little more than was asked for."""

    def __init__(self, *lags: float) -> None:
        self.now = 1000.0
        self.lags = list(lags)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds + (self.lags.pop() if self.lags else 0)


async def call_as_often_as_possible(pace: Pace, clock: Clock, gaps: list[float]) -> list[float]:
    """The times of the calls of somebody who pauses for each of the gaps and then wants a turn."""
    times = []
    for gap in gaps:
        clock.now += gap
        await pace.turn()
        times.append(clock.now)
    return times


def most_in_a_window(times: list[float], seconds: float) -> int:
    return max(sum(start <= time < start + seconds for time in times) for start in times)


pauses = st.lists(st.one_of(st.just(0), st.integers(0, 40)), min_size=1, max_size=60)


@given(st.integers(1, 6), st.integers(1, 9), pauses, st.lists(st.integers(0, 30)))
async def test_no_window_ever_sees_more_calls_than_allowed(
    burst: int, every: int, gaps: list[float], lags: list[float]
) -> None:
    clock = Clock(*lags)
    times = await call_as_often_as_possible(Pace(burst, every, clock, clock.sleep), clock, gaps)
    for first, start in enumerate(times):
        for count, end in enumerate(times[first:], 1):
            assert count <= burst + (end - start) / every


@given(st.integers(1, 6), st.integers(1, 9), pauses)
async def test_nobody_waits_longer_than_needed(burst: int, every: int, gaps: list[float]) -> None:
    clock = Clock()
    pace = Pace(burst, every, clock, clock.sleep)
    times: list[float] = []
    for gap in gaps:
        clock.now += gap
        asked = clock.now
        await pace.turn()
        if clock.now > asked:
            # Somebody who waited got the first moment at which some window is exactly full.
            full = [
                n for n, start in enumerate(reversed(times), 2) if n == burst + (clock.now - start) / every
            ]
            assert full
        times.append(clock.now)


async def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    clock, order = Clock(), list[int]()
    pace = Pace(2, 3, clock, clock.sleep)

    async def caller(number: int) -> None:
        await pace.turn()
        order.append(number)

    await asyncio.gather(*(caller(number) for number in range(8)))
    assert order == list(range(8))
    assert clock.now == 1000 + 6 * 3


async def test_whoever_gives_up_while_waiting_uses_no_turn_up() -> None:
    pace = Pace(1, 0.2)
    await pace.turn()
    loop = asyncio.get_running_loop()
    start = loop.time()
    impatient = [asyncio.ensure_future(pace.turn()) for _ in range(20)]
    await asyncio.sleep(0)
    for each in impatient:
        each.cancel()
    await asyncio.gather(*impatient, return_exceptions=True)
    await pace.turn()
    assert loop.time() - start < 2


@pytest.mark.parametrize(("calls", "seconds"), [(100, 5), (1000, 180)])
async def test_digicert_is_called_as_often_as_its_page_allows(calls: int, seconds: float) -> None:
    clock = Clock()
    pace = Pace(*digicert.PACE, clock, clock.sleep)
    times = await call_as_often_as_possible(pace, clock, [0] * 1100)
    assert 0.9 * calls <= most_in_a_window(times, seconds) <= calls


# ---- what it does to calls


async def test_a_read_waits_for_its_turn() -> None:
    async with listening(RawServer(answers())) as server:
        http = server.http(pace=Pace(1, 0.1))
        start = asyncio.get_running_loop().time()
        for _ in range(3):
            assert (await http.read("GET", "/a")).status == 200
        assert asyncio.get_running_loop().time() - start >= 0.19
        assert len(server.heard) == 3


@pytest.mark.parametrize("kind", ["read", "send"])
async def test_a_call_whose_turn_does_not_come_in_time_is_proved_unsent(kind: str) -> None:
    async with listening(RawServer(answers())) as server:
        http = server.http(timeout=0.4, pace=Pace(1, 60))
        await http.read("GET", "/a")
        start = asyncio.get_running_loop().time()
        trouble = await failure(getattr(http, kind)("PUT", "/b"))
        assert (trouble.code, trouble.sent) == ("paced", False)
        assert "turn" in trouble.sentence
        assert trouble.__context__ is None
        assert asyncio.get_running_loop().time() - start < 3
        assert len(server.heard) == 1


async def test_a_cancel_is_not_sent_when_little_time_would_be_left_for_its_answer() -> None:
    """Its turn comes before the deadline, but so late that the answer would be cut off."""
    async with listening(RawServer(answers())) as server:
        http = server.http(timeout=1.0, pace=Pace(1, 0.8))
        await http.read("GET", "/a")
        assert (await failure(http.send("PUT", "/b"))).code == "paced"
        assert len(server.heard) == 1


async def test_a_turn_that_was_waited_for_costs_the_call_no_time() -> None:
    async with listening(RawServer(answers())) as server:
        http = server.http(timeout=0.5, pace=Pace(1, 0.8))
        await http.read("GET", "/a")
        async with http.turn():
            assert (await http.send("PUT", "/b")).status == 200
            assert (await failure(http.send("PUT", "/c"))).code == "paced", "it was the turn of one call"


async def test_a_turn_is_for_the_one_client_that_was_asked() -> None:
    async with listening(RawServer(answers())) as server:
        mine, other = (server.http(timeout=0.4, pace=Pace(1, 60)) for _ in range(2))
        await other.read("GET", "/a")
        async with mine.turn():
            assert (await failure(other.send("PUT", "/b"))).code == "paced"
        assert (await failure(mine.send("PUT", "/b"))).code == "paced", "it was not used in time"


async def test_every_attempt_of_a_read_takes_a_turn() -> None:
    async with listening(RawServer(hangs_up)) as server:
        trouble = await failure(server.http(timeout=2.0, pace=Pace(2, 60)).read("GET", "/a"))
        assert trouble.code == "paced"
        assert len(server.heard) == 2


async def test_two_clients_do_not_wait_for_each_other() -> None:
    async with listening(RawServer(answers())) as server:
        busy, idle = (server.http(pace=Pace(1, 60)) for _ in range(2))
        await busy.read("GET", "/a")
        assert (await idle.send("PUT", "/a")).status == 200


async def test_without_a_published_limit_there_are_at_most_60_calls_in_a_minute() -> None:
    async with listening(RawServer(answers())) as server:
        http = Http(server.url, HttpLimits(timeout=0.5))
        start = asyncio.get_running_loop().time()
        ends = await asyncio.gather(*(http.read("GET", "/a") for _ in range(60)), return_exceptions=True)
        seconds = asyncio.get_running_loop().time() - start
        assert any(isinstance(end, Exception) for end in ends)
        assert len(server.heard) <= 15 + math.floor(seconds * 45 / 60)


@pytest.mark.parametrize(("adapter", "kind"), PAIRS, ids=[adapter.facts.name for adapter, _ in PAIRS])
async def test_every_provider_has_a_pace_and_no_cancel_overtakes_it(
    adapter: type[Provider],
    kind: type[Vendor[Any]],
    start_vendor: Callable[[type[Vendor[Any]]], Awaitable[Vendor[Any]]],
) -> None:
    vendor = await start_vendor(kind)
    provider = connect(adapter, vendor.settings(), HttpLimits(timeout=1.0))
    order = vendor.samples["cancellable"]
    found = [await provider.look_up(order)]
    while found[-1].standing is not Standing.UNREADABLE:
        found += await asyncio.gather(*(provider.look_up(order) for _ in range(20)))
        assert len(found) <= 200
    assert "turn" in found[-1].detail
    waiting = [asyncio.ensure_future(provider.look_up(order)) for _ in range(10)]
    await asyncio.sleep(0)
    outcome = await provider.cancel(order, "Approved by two people.", found[0])
    await asyncio.gather(*waiting)
    assert outcome.result is Result.NO_EFFECT
    assert "turn" in outcome.said
    assert vendor.sends == []
