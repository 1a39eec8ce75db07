"""A sample of the races; `python -m tests.races` runs many rounds of all of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from bot.app import Roles
from bot.store import Store, Unit
from tests import postgres
from tests.races import cuts, people, stops
from tests.races.stage import TWO_AND_TWO, in_process, seeded

SEED = 20
MINUTES = 10 * 60.0
CLAIM = b"UPDATE action SET runs"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def shared() -> Iterator[str]:
    """The setting of a Postgres database."""
    with postgres.new_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """For one process on a file, or for two that listen and two that work."""
    if request.param == "sqlite":
        yield ""
        return
    with postgres.new_database() as url:
        yield url


# --- people ---------------------------------------------------------------------------------------------


async def test_what_people_do_in_the_same_moment_counts_once_and_ends_one_way(
    database: str, tmp_path: Path
) -> None:
    roles = TWO_AND_TWO if database else (Roles(),)
    async with in_process(tmp_path, seeded(SEED), database, roles) as stage:
        for _ in range(2):
            await people.eight_clicks_by_one_person(stage)
            await people.two_approvers(stage)
            await people.approve_against_deny(stage)
            await people.approve_against_withdraw(stage)
        await people.a_hundred_requests_for_one_order(stage)
        assert stage.close() == []


async def test_an_approval_at_the_last_moment_counts_or_comes_too_late(tmp_path: Path) -> None:
    async with in_process(tmp_path, seeded(SEED), REQUEST_TTL="4s") as stage:
        for _ in range(2):
            await people.approve_against_expiry(stage)
        assert stage.close() == []


# --- workers --------------------------------------------------------------------------------------------


async def test_two_workers_never_claim_the_same_action(shared: str) -> None:
    stores = [Store(postgres.as_sqlalchemy(shared)) for _ in range(4)]
    actions = [f"request-{number}" for number in range(40)]

    def schedule(unit: Unit) -> None:
        for key in actions:
            unit.schedule("check", key, "digicert", unit.now)

    stores[0].write_now(schedule)

    async def claim_all(number: int) -> list[str]:
        claimed: list[str] = []
        while True:
            claim = partial(Unit.claim, token=f"{number:08x}{len(claimed)}", lease=MINUTE, full=())
            row = await stores[number].write(claim)
            if row is None or len(claimed) > len(actions):
                return claimed
            claimed.append(row.key)

    try:
        each = await asyncio.gather(*map(claim_all, range(len(stores))))
    finally:
        for store in stores:
            store.close()
    assert Counter(key for claimed in each for key in claimed) == Counter(actions)
    assert all(each), "all of them were at it"


async def test_two_workers_look_an_order_up_once(shared: str, tmp_path: Path) -> None:
    async with in_process(tmp_path, seeded(SEED), shared, TWO_AND_TWO) as stage:
        vendor = stage.world.vendor("payvalida")
        stage.take_turns()
        for _ in range(5):
            await stage.world.asked("alice", "payvalida", vendor.new_order())
        assert Counter(seen.order for seen in vendor.seen).most_common(1)[0][1] == 1


# --- processes that are stopped, and machines that sleep --------------------------------------------------


async def test_a_worker_that_was_stopped_between_its_permit_and_the_first_byte_sends_nothing_later(
    shared: str, tmp_path: Path
) -> None:
    """It took the permit and was stopped before it heard that; another one has settled everything since."""
    async with stops.scene_in(tmp_path, seeded(SEED), shared) as scene:
        assert await stops.stopped_at(stops.AfterThePermit, scene) == []
        answered = scene.first.records("cancel_answered")
        assert [record["result"] for record in answered] == ["no_effect"], "it has said what it did"


async def test_another_worker_takes_over_from_one_that_was_killed_while_connecting(
    shared: str, tmp_path: Path
) -> None:
    async with stops.scene_in(tmp_path, seeded(SEED), shared) as scene:
        assert await stops.killed_at(stops.WhileConnecting, scene) == []


async def test_what_was_looked_up_before_the_machine_slept_does_not_count_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is suspended right after the last look-up, for minutes; the order is issued meanwhile."""
    slept = [0.0]
    real = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + slept[0])
    async with in_process(tmp_path, seeded(SEED)) as stage:
        order = await stage.asked()

        def sleep() -> None:
            slept[0] = MINUTES
            order.vendor.orders[order.reference].state = "issued"

        await stage.click("bob", order.card, "Approve")
        stops.at_the_next_look_up(order, sleep)
        await stage.click("carol", order.card, "Approve")
        await order.reads("cannot be cancelled")
        assert order.vendor.sends == []


# --- a database that breaks off ---------------------------------------------------------------------------


@pytest.mark.parametrize("carried_out", [True, False], ids=["after", "before"])
@pytest.mark.parametrize(
    ("at", "writing"),
    [(3, CLAIM), (1, b"INSERT INTO permit"), (1, b"INSERT INTO vote"), (13, b""), (23, b"")],
)
async def test_a_connection_that_breaks_at_a_commit_changes_nothing(
    at: int, writing: bytes, carried_out: bool, shared: str, tmp_path: Path
) -> None:
    scissors = cuts.Scissors(at, carried_out, writing)
    assert await cuts.cancelled_with(scissors, tmp_path, seeded(SEED), shared) == []
    assert scissors.commits >= at
