"""Where a race is run: people, one or two ways in, and what is stored. In this process, or in several."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from bot.app import Bot, Roles
from bot.blocks.words import word
from bot.store import Store, schema
from sandbox.slack.forms import ViewHandle
from sandbox.slack.model import Ack, Message
from sandbox.slack.person import NoSuchButton
from sandbox.town import Town
from sandbox.vendors.vendor import Vendor
from tests.conftest import NoPace, World
from tests.races.fleet import PATIENCE, fleet_in
from tests.races.judge import Story, chain_breaks, violations

ENDED = "Outcome: "
ROUNDS_AT_DIGICERT = 4
"""Of five rounds; its pace allows many more calls than that of the others."""


@dataclass
class Stage:
    world: World
    store: Store
    webs: Sequence[str]
    """Where Slack may send to: one URL for each process that listens."""
    rng: Random
    ports: Sequence[int] = ()
    """Where each process tells how it is."""
    number: int = 0
    """Of the present round."""
    turns: int = 0
    told: list[str] = field(default_factory=list)
    """What was violated so far."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """How the requests ended: a race that always ends the same way is none."""

    # --- what people do ---------------------------------------------------------------------------

    async def asked(self) -> Order:
        """A new order, looked up and waiting for approvals."""
        self.number += 1
        others = ("payvalida", "cpanel", "tradernet")
        turn = self.number % (ROUNDS_AT_DIGICERT + 1)
        name = "digicert" if turn else others[self.number // (ROUNDS_AT_DIGICERT + 1) % len(others)]
        vendor = self.world.vendor(name)
        order = Order(self, vendor, vendor.new_order(), f"round {self.number} of the races")
        self._turn_to(0)
        await self.world.asked("alice", name, order.reference, order.reason)
        return order

    async def click(self, who: str, card: Message, button: str, web: int = 0) -> Ack:
        """On a card as it is on the screen of `who`, at that web process."""
        self._turn_to(web)  # nobody comes between here and where the address is read
        return await self.world.person(who).click(card, button)

    async def form_to_deny(self, who: str, card: Message) -> ViewHandle:
        """Open and filled in, not sent yet."""
        await self.click(who, card, "Deny")
        form = await self.world.person(who).modal()
        form.fill({"Reason": "still in use"})
        return form

    async def submit(self, form: ViewHandle, web: int = 0) -> bool:
        """Whether it was taken."""
        self._turn_to(web)
        return (await form.submit()).ok

    async def in_the_same_moment(self, *acts: Any, apart: float = 0.0) -> None:
        """Start them in a random order; with `apart`, up to that many seconds between one and the next."""
        mixed = list(acts)
        self.rng.shuffle(mixed)
        running = []
        for act in mixed:
            running.append(asyncio.ensure_future(act))
            await asyncio.sleep(self.rng.uniform(0, apart) if apart else 0)
        for done in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(done, BaseException) and not isinstance(done, NoSuchButton):
                raise done

    def take_turns(self) -> int:
        """Turn to the next of the processes that listen, and return its number."""
        self.turns += 1
        self._turn_to(self.turns)
        return self.turns

    def _turn_to(self, web: int) -> None:
        self.world.workspace.deliver_to_http(self.webs[web % len(self.webs)])

    # --- the verdict ------------------------------------------------------------------------------

    def note(self, *found: str) -> None:
        self.told += found

    def close(self) -> list[str]:
        """Everything that was violated, with what Slack had to complain about."""
        return [*self.told, *self.world.workspace.problems, *chain_breaks(self.store)]


@dataclass
class Order:
    """One order on its way, by the reason that somebody gave for cancelling it."""

    stage: Stage
    vendor: Vendor[Any]
    reference: str
    reason: str

    @property
    def card(self) -> Message:
        return next(m for m in self.stage.world.cards if self.reason in m.readable)

    @property
    def snapshot(self) -> Message:
        """As somebody has it on the screen now, buttons and all."""
        return self.card.snapshot()

    @property
    def story(self) -> Story:
        return Story(self.stage.world, self.stage.store, self.reason)

    async def reads(self, text: str, timeout: float = PATIENCE) -> None:  # noqa: ASYNC109
        await self.stage.world.workspace.wait_until(lambda: text in self.card.readable, timeout)

    async def says(self, text: str) -> None:
        """Wait until the thread does."""
        thread = lambda: any(text in reply.text for reply in self.card.thread)  # noqa: E731
        await self.stage.world.workspace.wait_until(thread, PATIENCE)

    async def ends(self, sends: int = 1) -> Story:
        """Wait until it is decided and people have been told; note what is not as it must be."""
        workspace = self.stage.world.workspace

        def is_over() -> bool:
            outcomes = [reply for reply in self.card.thread if "Outcome: *" in reply.text]
            return ENDED in self.card.readable and bool(outcomes)

        await workspace.wait_until(is_over, PATIENCE)
        story = self.story
        self.stage.note(*violations(story, self.vendor, self.reference, sends))
        self.stage.outcomes[word(story.request.state) if story.request else "lost"] += 1
        return story


def seeded(seed: int) -> Random:
    """What makes a run the same again, as far as machines allow."""
    return Random(seed)  # noqa: S311


@asynccontextmanager
async def in_process(
    folder: Path, rng: Random, database: str = "", roles: Sequence[Roles] = (Roles(),), **settings: str
) -> AsyncIterator[Stage]:
    """Bots in this very process, one for each of `roles`; on SQLite unless another database is named. With
    a DATABASE_URL among `settings`, the bots reach it by another way than everybody else."""
    async with Town() as town, AsyncExitStack() as opened:
        world = World(town, folder, "http", database)
        given = replace(world.settings(**settings), port=0)
        directly = world.settings().database_url
        if schema.is_empty(directly):
            schema.upgrade(directly)
        bots = [Bot(given, transport="http", roles=each, pace=NoPace()) for each in roles]
        for bot in bots:
            await bot.start()
            opened.push_async_callback(bot.stop)
        store = Store(directly)
        opened.callback(store.close)
        webs = [bot.port for bot, each in zip(bots, roles, strict=True) if each.web]
        urls = [f"http://127.0.0.1:{port}/slack/events" for port in webs]
        yield Stage(world, store, urls, rng, [bot.port for bot in bots])


TWO_AND_TWO = (Roles(worker=False), Roles(worker=False), Roles(web=False), Roles(web=False))


@asynccontextmanager
async def four_processes(folder: Path, rng: Random, database: str) -> AsyncIterator[Stage]:
    """Two that listen and two that work, all of them on one Postgres."""
    async with fleet_in(folder, database) as fleet:
        roles = {"web_1": "web", "web_2": "web", "worker_1": "worker", "worker_2": "worker"}
        members = await fleet.started(roles)
        webs = [member.url for member in members if member.role == "web"]
        yield Stage(fleet.world, fleet.store, webs, rng, [member.process.port for member in members])
        for member in members:
            await fleet.forget(member)
