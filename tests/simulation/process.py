"""One process of the bot on the simulated world: put together as `bot/app.py` does it, of the real parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from contextvars import copy_context
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from bot import agenda
from bot.accounts import Account, Accounts
from bot.directory import Directory
from bot.errors import StorageError
from bot.outbox import Outbox, OwnTurns, Retry, SlackPace
from bot.slack import SlackProblem
from bot.store import Store, Unit
from bot.store.slots import Slots
from bot.store.together import Piece
from bot.store.transaction import EVERYTHING, MESSAGES, WORK, News
from bot.supervise import Supervisor
from bot.witness import Witness
from bot.worker import Deadlines, Worker
from bot.workflow import Policy, Workflow
from tests.bot.builders import CHANNEL, TEAM
from tests.simulation.loop import OWNER, Owner
from tests.simulation.provider import SimulatedProvider
from tests.simulation.schedule import CALL, LIST, REST, Effect
from tests.simulation.slack import FACTS, Connection
from tests.simulation.ties import Tie

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

WORK_GRACE, DELIVERY_GRACE = 16.0, 4.0
RARELY = 3600.0
"""Seconds after which an idle process reads the database again: rarely, so that a wake-up that is missing
shows, and a night takes no longer than a minute."""
START_AGAIN = 20.0
"""Seconds after which a process that could not start is started again."""


class Process(Owner):
    """One process of the bot, put together as `bot/app.py` does it."""

    def __init__(self, world: World, slot: int, number: int) -> None:
        super().__init__()
        self.world = world
        self.slot = slot
        self.name = f"process {number}"
        self.let_down_at: list[float] = []
        """When it died, or lost the right to deliver: what it was doing then, somebody may do again."""
        self.workflow: Workflow | None = None
        self.directory: Directory | None = None
        self.tie: Tie | None = None
        self.outbox: Outbox | None = None
        self.supervisor, self.ties = Supervisor(), Supervisor()
        self._context = copy_context()
        self._context.run(OWNER.set, self)

    def spawn(self, work: Coroutine[Any, Any, object], name: str) -> None:
        self.world.loop.create_task(work, name=name, context=self._context.copy())

    async def at(self, effect: Effect) -> None:
        """Here this process may die or stop."""
        for strike in self.world.reach(self, effect):
            self.world.strike(self, strike)
        if self.is_dead:
            await self.world.loop.create_future()  # never
        if self.is_stopped:
            await asyncio.sleep(0)

    def reach_later(self, effect: Effect, seconds: float) -> None:
        for strike in self.world.reach(self, effect):
            self.world.later(seconds, self.world.strike, self, strike)

    # --- from start to end ----------------------------------------------------------------------------

    async def live(self) -> None:
        try:
            await self._start()
        except StorageError:
            self.world.say("cannot start: the database does not answer", self)
            self.world.is_gone(self, START_AGAIN)

    async def _start(self) -> None:
        world, schedule = self.world, self.world.schedule
        self.store = ProcessStore(self)
        slack = self.slack = Connection(self)
        await self._introduce(slack)
        directory = OrderedDirectory(slack, TEAM, world.elapsed)
        account = Account("", SimulatedProvider(self), CHANNEL, LIST, schedule.quorum, _seconds(schedule.ttl))
        timing = agenda.Timing(_seconds(schedule.remind_after), _seconds(REST))
        workflow = Workflow(
            self.store, Accounts([account]), {FACTS.name: FACTS}, Policy(TEAM, (), timing), directory
        )
        await workflow.verify_history()
        await self.store.write(lambda unit: unit.note("started", {"version": "simulated"}))
        witness = Witness(slack, self.store, [CHANNEL], world.clock, world.elapsed)
        await asyncio.gather(directory.refresh(LIST), *([witness.compare()] if schedule.told else []))
        if not schedule.shared:
            await self.store.write(lambda unit: unit.free_all_actions())
        self._start_work(workflow, directory, witness)
        if schedule.told:
            self._start_telling(slack, witness)
        self.workflow, self.directory = workflow, directory

    def _start_work(self, workflow: Workflow, directory: Directory, witness: Witness) -> None:
        world, schedule = self.world, self.world.schedule
        self.tie = tie = Tie(self, self._wake) if schedule.shared else None
        self.worker = Worker(
            self.store,
            workflow,
            directory,
            Deadlines(_seconds(CALL), _seconds(REST), _seconds(schedule.reconcile_for)),
            self.supervisor,
            world.clock,
            RARELY,
            witness.doubt if schedule.told else lambda: "",
            world.elapsed,
            self.tie.name if self.tie else "",
        )
        self.store.on_news(self._tell)
        if tie is not None:
            self.store.delivers = lambda: bool(tie.tenure())
        self.supervisor.keep_running("worker", self.worker.run)
        if self.tie is not None:
            self.ties.keep_running("database link", self.tie.run)

    def _start_telling(self, slack: Connection, witness: Witness) -> None:
        retry = Retry(_seconds(1), _seconds(300))
        tie, clock = self.tie, self.world.clock
        pace = OwnTurns(SlackPace(), tie.tenure, clock) if tie else SlackPace()
        outbox = self.outbox = Outbox(self.store, slack, {FACTS.name: FACTS}, retry, pace, clock, RARELY)
        self.supervisor.keep_running("witness", witness.run)
        if tie is not None:
            self.supervisor.keep_running("outbox", lambda: tie.while_delivering(outbox.run))
        else:
            self.supervisor.keep_running("outbox", outbox.run)

    def _tell(self, news: News) -> None:
        """As in `bot.app`; unless this schedule wakes everybody after every commit."""
        self.worker.begin(news.claimed)
        if news.due_in is not None:
            self.worker.wake_in(news.due_in)
        if self.outbox is not None:
            self.outbox.wake_for(news.owed_in, news.awaited_in)

    def _wake(self, about: Collection[str] = EVERYTHING) -> None:
        if WORK in about:
            self.worker.wake()
        if MESSAGES in about and self.outbox is not None:
            self.outbox.wake()

    async def _introduce(self, slack: Connection) -> None:
        pause = 0.5
        while True:
            try:
                await slack.whoami()
                return
            except SlackProblem:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 15.0)

    def terminate(self, restart: float) -> None:
        """As by SIGTERM: nothing new is taken, what is under way may end, then it is over."""
        if self.workflow is None:
            self.world.is_gone(self, restart)
            return
        self.workflow = self.directory = None
        self.spawn(self._end(restart), "end")

    async def _end(self, restart: float) -> None:
        await self.supervisor.stop(WORK_GRACE)
        if self.outbox is not None:
            await self.outbox.drain(DELIVERY_GRACE)
        await self.ties.stop(0.0)
        with suppress(StorageError):
            await self.store.write(lambda unit: unit.note("stopped", {"version": "simulated"}))
        self.world.say("has ended", self)
        self.world.is_gone(self, restart)
        await self.at(Effect.WRITTEN)


class OrderedDirectory(Directory):
    """The order of names in a set differs from run to run; here it does not."""

    async def _learn(self, users: Iterable[str], names: Iterable[str], max_age: float) -> None:
        await super()._learn(sorted(users), sorted(names), max_age)


class ProcessStore(Store):
    """The store as one process has it: slow, away, or broken right after a commit, as the seed says."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = process.world
        self._after_news: list[Callable[[News], None]] = []
        self.slots = Slots()
        self.delivers = lambda: False

    @property
    def is_shared(self) -> bool:
        return self._world.schedule.shared

    def on_news(self, tell: Callable[[News], None]) -> None:
        self._after_news.append(tell)

    async def read(self, work: Callable[[Unit], T]) -> T:
        await self._reach(Effect.READ)
        return self._world.read(work)

    async def read_long(self, work: Callable[[Unit], T]) -> T:
        return await self.read(work)

    async def write(self, work: Callable[[Unit], T], *, even_late: bool = False) -> T:
        await self._reach(Effect.WRITE)
        trouble = self._trouble()
        if trouble == "refused":
            raise StorageError("The disk is full.")
        piece = Piece(work)
        if trouble == "done twice":
            # The connection broke during the commit, and the store tries the whole transaction again.
            self._commit(piece)
            self.slots.let_go(piece.units[-1].claimed)
        self._commit(piece)
        await self._process.at(Effect.WRITTEN)
        if trouble == "not told":
            self.slots.let_go(piece.units[-1].claimed)
            self._tell(piece, is_done=False)
            raise StorageError("The connection was lost.")
        if self._after_news and self._world.schedule.wakeful:
            self._process._wake()
        self._tell(piece, is_done=True)
        return piece.result

    def _commit(self, piece: Piece[Any]) -> None:
        def with_own_slots(unit: Unit) -> None:
            unit.slots = self.slots
            piece.run_in(unit).claim_at_once()

        self._world.write(with_own_slots)
        self._world.checks.after_commit(self._process)
        if others := self.to_tell(piece.units[-1].news):
            self._world.board.tell(self._process, set(others))

    async def _reach(self, effect: Effect) -> None:
        world = self._world
        await self._process.at(effect)
        if world.schedule.delay and (effect is Effect.WRITE or world.schedule.slow_reads):
            await asyncio.sleep(world.dice.roll("database") * world.schedule.delay)
        if any(world.loop.now in window for window in world.schedule.storage_away):
            world.tally["the database was away"] += 1
            await asyncio.sleep(world.dice.between("database away", 0.1, 2))
            raise StorageError("The database does not answer.")

    def _trouble(self) -> str:
        world = self._world
        if world.dice.roll("transaction") >= world.schedule.storage_trouble:
            return ""
        kind = world.dice.pick("transaction trouble", ["refused", "not told", "done twice"])
        world.tally[f"a transaction was {kind}"] += 1
        return kind


def _seconds(count: float) -> timedelta:
    return timedelta(seconds=count)
