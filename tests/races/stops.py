"""A worker is stopped at the worst moments, another one takes over, and the first one goes on.

Nothing in the bot knows of this: the moments are brought about by a provider that is slow to greet, a
Slack that is slow to answer, a table that somebody else has locked, a wire that holds an answer back.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg
from sqlalchemy.engine import make_url

from bot.events import Permitted
from bot.store import schema
from sandbox.vendors.vendor import Fault
from tests.races.fleet import PATIENCE, Fleet, Member, fleet_in, until
from tests.races.stage import Order, Stage
from tests.races.wire import Door, Line, Wire, door_of, laid

SILENCE = 30.0
"""Seconds after which everybody has noticed that a worker says nothing, although it keeps its connections."""
ASLEEP = 8.0
"""Seconds for which a machine is suspended: longer than any call and any quarantine here."""


WAITING = """
    SELECT 1 FROM pg_stat_activity WHERE query LIKE 'INSERT INTO permit%' AND wait_event_type = 'Lock'
"""


@dataclass
class Scene:
    """A worker with wires that can be held, and another one that takes over from it, if there is one."""

    fleet: Fleet
    stage: Stage
    door: Door
    wire: Wire
    """Between the first worker and the database."""
    first: Member
    second: Member


def at_the_next_look_up(order: Order, then: Callable[[], None]) -> None:
    """Call `then` once the provider has been asked again, before its answer leaves. After the last approval
    that is the look-up right before the permit."""

    def look() -> None:
        if waiting and order.vendor.seen[before:]:
            waiting.pop()()

    before, waiting = len(order.vendor.seen), [then]
    order.vendor.on_change.append(look)


class Moment(ABC):
    """Where the first worker is stopped. `stopped` and `let_go` may be left as they are."""

    name: str

    def __init__(self, scene: Scene, order: Order) -> None:
        self.scene = scene
        self.order = order

    @abstractmethod
    def arrange(self) -> None:
        """Before the last approval."""

    @abstractmethod
    async def come(self) -> None:
        """Return when the first worker is there and cannot leave."""

    def stopped(self) -> None:
        """The first worker is stopped or dead: the others may pass."""
        return

    def let_go(self) -> None:
        """Right before the first worker goes on: what it waited for is there."""
        return


class BeforeThePermit(Moment):
    name = "before the permit"

    def arrange(self) -> None:
        workspace = self.scene.fleet.workspace
        at_the_next_look_up(self.order, lambda: workspace.fail_next("users.info", "hang"))

    async def come(self) -> None:
        faults = self.scene.fleet.workspace.faults
        await self.scene.fleet.workspace.wait_until(lambda: faults.hanging, PATIENCE)

    def let_go(self) -> None:
        self.scene.fleet.workspace.release()


class InsideThePermit(Moment):
    """Its transaction has begun, and somebody else has locked the table that it wants to write."""

    name = "inside of the permit's transaction"

    def arrange(self) -> None:
        self.blocker = psycopg.connect(self.scene.fleet.database)
        at_the_next_look_up(self.order, self._lock)

    async def come(self) -> None:
        await until(lambda: self.scene.fleet.ask(WAITING), "a permit waits for its table")

    def stopped(self) -> None:
        self.blocker.close()

    def _lock(self) -> None:
        self.blocker.execute("LOCK TABLE permit IN SHARE MODE")


class AfterThePermit(Moment):
    """The permit is durable, and the worker has not heard of it."""

    name = "between the permit and its answer"

    def arrange(self) -> None:
        self.held: list[Line] = []
        self.scene.wire.watch = self._watch

    async def come(self) -> None:
        await until(lambda: self.held, "a permit is committed")
        await until(lambda: self.scene.fleet.ask("SELECT 1 FROM permit"), "the permit is there")

    def stopped(self) -> None:
        self.held[0].answers.set()

    def _watch(self, line: Line, data: bytes) -> None:
        if b"INSERT INTO permit" in data:
            self._writing = line
        elif b"COMMIT" in data and line is getattr(self, "_writing", None) and not self.held:
            line.answers.clear()
            self.held.append(line)


class WhileConnecting(Moment):
    name = "between the permit and the first byte"

    def arrange(self) -> None:
        at_the_next_look_up(self.order, self.scene.door.shut)

    async def come(self) -> None:
        await self.scene.door.is_knocked_at(PATIENCE)
        assert self.order.story.count(Permitted) == 1

    def stopped(self) -> None:
        self.scene.door.reopen()

    def let_go(self) -> None:
        self.scene.door.let_in()


class AfterTheSend(Moment):
    name = "after the request was sent"

    def arrange(self) -> None:
        self.order.vendor.fail_next(Fault.HANG)

    async def come(self) -> None:
        await self.order.vendor.wait_until(
            lambda: self.order.vendor.sends == [self.order.reference], PATIENCE
        )

    def let_go(self) -> None:
        self.order.vendor.release()


EVERYWHERE: tuple[type[Moment], ...] = (BeforeThePermit, WhileConnecting, AfterTheSend)
"""Those that need nothing of Postgres."""
MOMENTS: tuple[type[Moment], ...] = (
    BeforeThePermit,
    InsideThePermit,
    AfterThePermit,
    WhileConnecting,
    AfterTheSend,
)


@asynccontextmanager
async def lonely_scene_in(folder: Path, rng: Random) -> AsyncIterator[Scene]:
    """One process that does everything, on SQLite."""
    async with AsyncExitStack() as opened:
        database = f"sqlite:///{folder / 'bot.db'}"
        schema.upgrade(database)
        fleet = await opened.enter_async_context(fleet_in(folder, database))
        door = await opened.enter_async_context(door_of(fleet.town.vendors["digicert"].base_url, folder))
        given = {"DIGICERT_BASE_URL": door.url, "SSL_CERT_FILE": str(door.certificate)}
        (only,) = await fleet.started({"only": "all"}, **given)
        stage = Stage(fleet.world, fleet.store, [only.url], rng)
        yield Scene(fleet, stage, door, Wire(Path()), only, only)


@asynccontextmanager
async def scene_in(folder: Path, rng: Random, database: str) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as opened:
        fleet = await opened.enter_async_context(fleet_in(folder, database))
        vendor = fleet.town.vendors["digicert"]
        door = await opened.enter_async_context(door_of(vendor.base_url, folder))
        wire = await opened.enter_async_context(laid(Wire(socket_of(database))))
        given = {"DIGICERT_BASE_URL": door.url, "SSL_CERT_FILE": str(door.certificate)}
        await fleet.listen(DIGICERT_BASE_URL=door.url)
        first = await fleet.start("first", "worker", **given, DATABASE_URL=by_wire(database, wire))
        await first.is_ready()  # so that it is the one that delivers to Slack
        second = await fleet.start("second", "worker", **given)
        stage = Stage(fleet.world, fleet.store, [fleet.workspace.delivery.request_url or ""], rng)
        yield Scene(fleet, stage, door, wire, first, second)


async def stopped_at(kind: type[Moment], scene: Scene, keeps_its_link: bool = False) -> list[str]:
    """The first worker is stopped there, and goes on when the second one has settled everything.

    Its standing connection to the database is cut, as a firewall would; with `keeps_its_link` it stays,
    until the database hangs up on somebody who is silent.
    """
    order, moment = await _brought_about(kind, scene)
    name = scene.fleet.holder("cancel")
    scene.first.stop()
    moment.stopped()
    scene.second.go_on()
    if not keeps_its_link:
        scene.fleet.cut_link(name)
    await order.reads("Outcome: cancelled", PATIENCE + (SILENCE if keeps_its_link else 0))
    moment.let_go()
    await scene.fleet.forget(scene.first)  # it goes on, ends what it was at, and says so with its exit code
    return await _judged(scene, order)


async def killed_at(kind: type[Moment], scene: Scene) -> list[str]:
    """The first worker dies there, and the second one takes over."""
    order, moment = await _brought_about(kind, scene)
    await scene.first.kill()
    moment.stopped()
    scene.second.go_on()
    moment.let_go()
    await order.reads("Outcome: cancelled")
    return await _judged(scene, order)


async def asleep_at(kind: type[Moment], scene: Scene) -> list[str]:
    """The only process there is sleeps there for a while, as on a laptop, and does the rest afterwards."""
    order, moment = await _brought_about(kind, scene)
    scene.first.stop()
    moment.stopped()
    await asyncio.sleep(ASLEEP)
    moment.let_go()
    scene.first.go_on()
    await order.ends()
    await scene.fleet.forget(scene.first)
    if order.vendor.sends != [order.reference]:
        scene.stage.note(f"sent {len(order.vendor.sends)} times")
    return scene.stage.close()


async def _brought_about(kind: type[Moment], scene: Scene) -> tuple[Order, Moment]:
    order = await scene.stage.asked()
    await scene.stage.click("bob", order.card, "Approve")
    await order.reads("1 more needed")
    if scene.second is not scene.first:
        await scene.second.is_ready()
        scene.second.stop()  # until the first one is, so that it is the first one's turn
    moment = kind(scene, order)
    moment.arrange()
    await scene.stage.click("carol", order.card, "Approve")
    await moment.come()
    return order, moment


async def _judged(scene: Scene, order: Order) -> list[str]:
    await order.ends()
    await scene.fleet.forget(scene.second)
    if order.vendor.sends != [order.reference]:
        scene.stage.note(f"sent {len(order.vendor.sends)} times")
    return scene.stage.close()


def socket_of(database: str) -> Path:
    """Of a Postgres that listens in the file system."""
    return Path(str(make_url(database).query["host"]), ".s.PGSQL.5432")


def by_wire(database: str, wire: Wire) -> str:
    """The same database by way of a port of this machine."""
    url = make_url(database).set(host="127.0.0.1", port=wire.port, query={"sslmode": "disable"})
    return url.render_as_string(hide_password=False)
