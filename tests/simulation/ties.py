"""How processes on one database know of each other, as by `bot/store/presence.py` but without a look each
second."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Set
from math import inf
from typing import TYPE_CHECKING

from bot.errors import StorageError
from bot.store.presence import GONE_AFTER, LOOK_EVERY, SILENCE, Presence
from bot.store.transaction import EVERYTHING
from bot.store.work import NAME_LENGTH
from providers import fence

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World


class Board:
    """Who is connected, and which of them delivers: what the database's locks say."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ties: list[Tie] = []
        self._deliverer: Tie | None = None
        self._missing: list[Tie] = []

    def joins(self, tie: Tie) -> None:
        self.ties.append(tie)
        if tie in self._missing:
            self._missing.remove(tie)
        self._soon(self._appoint)
        for missing in self._missing:
            self.world.later(LOOK_EVERY * (GONE_AFTER + 1), self._let_go, missing)

    def leaves(self, tie: Tie) -> None:
        if tie not in self.ties:
            return
        self.ties.remove(tie)
        tie.process.let_down_at.append(self.world.loop.now)
        self._missing.append(tie)
        if self._deliverer is tie:
            self._deliverer = None
            self._soon(self._appoint)
        self.world.later(self.world.dice.roll("look around") * LOOK_EVERY, self.tell, tie.process, EVERYTHING)
        wait = self.world.dice.between("look around", GONE_AFTER - 1, GONE_AFTER + 1)
        self.world.later(LOOK_EVERY * wait, self._let_go, tie)

    def is_silent(self, tie: Tie) -> None:
        """Its process was stopped: after a while the server hangs up."""
        tie.looked_at(fence.elapsed())
        self.world.later(SILENCE, self._hang_up, tie)

    def goes_on(self, tie: Tie) -> None:
        """What its process may still do it knows when it has looked."""
        self.world.later(self.world.dice.roll("look around") * LOOK_EVERY, self._looks, tie)

    def _looks(self, tie: Tie) -> None:
        if not tie.process.is_stopped:
            tie.looked_at(inf)

    def _hang_up(self, tie: Tie) -> None:
        if tie.process.is_stopped and tie in self.ties:
            self.world.say("the database hangs up on it", tie.process)
            self.leaves(tie)
            tie.cut(0.0)

    def tell(self, teller: Process, about: Collection[str]) -> None:
        """There is news for the others: they hear of it."""
        for tie in self.ties:
            if tie.process is teller:
                continue
            is_new, tie.told = not tie.told, tie.told | {*about}
            if is_new:
                self.world.later(self.world.dice.roll("notify") * 0.1, tie.hear)

    def _soon(self, work: Callable[[], None]) -> None:
        self.world.later(self.world.dice.roll("look around") * LOOK_EVERY, work)

    def _appoint(self) -> None:
        able = [tie for tie in self.ties if not tie.process.is_stopped]
        if self._deliverer is None and able:
            self._deliverer = self.world.dice.pick("deliverer", able)
            self.world.say("delivers to Slack from now on", self._deliverer.process)
            self._deliverer.may_deliver()
        elif self._deliverer is None and self.ties:
            self._soon(self._appoint)

    def _let_go(self, missing: Tie) -> None:
        """Whoever looks first lets go of what a missing one held."""
        able = [tie for tie in self.ties if not tie.process.is_stopped]
        if missing not in self._missing or not able:
            return
        process = self.world.dice.pick("lets go", able).process
        self.world.tally["claims of a missing process were let go"] += 1
        self.world.say(f"lets go of what {missing.process.name} held", process)
        process.spawn(_free(process, missing.name), "let go")
        if missing.process.is_dead:
            self._missing.remove(missing)
        else:  # it only lost its connection, and claims on
            self.world.later(2 * LOOK_EVERY, self._let_go, missing)


async def _free(process: Process, name: str) -> None:
    try:
        await process.store.write(lambda unit: unit.free_actions_of(name))
    except StorageError:
        return  # its lease will run out


class Tie(Presence):
    """One process's connection. What it may do while it delivers is the real thing."""

    def __init__(self, process: Process, wake: Callable[[Collection[str]], None]) -> None:
        self.process = process
        self.told: Set[str] = frozenset()
        """What it is about to hear of."""
        self.name = f"{secrets.randbits(31):0{NAME_LENGTH}x}"
        self._wake = wake
        self._broken = asyncio.Event()
        self._tenures = 0
        self._looked_at = inf  # the board tells at once what others have to look for, unless it is stopped
        self._down = 0.0
        self._may_deliver = asyncio.Event()
        self._lost = asyncio.Event()

    async def run(self) -> None:
        world = self.process.world
        await asyncio.sleep(self._down)
        self._broken.clear()
        world.board.joins(self)
        try:
            self._wake(EVERYTHING)
            await self._broken.wait()
            raise StorageError("The connection to the database was lost.")
        finally:
            world.board.leaves(self)
            self._may_deliver.clear()
            self._lost.set()

    def looked_at(self, seconds: float) -> None:
        self._looked_at = seconds

    def may_deliver(self) -> None:
        self._lost.clear()
        self._tenures += 1
        self._may_deliver.set()

    def hear(self) -> None:
        about, self.told = self.told, frozenset()
        if not self.process.is_dead:
            self._wake(about)

    def cut(self, seconds: float) -> None:
        self._down = seconds
        self._broken.set()
