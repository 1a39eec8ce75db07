"""One run of a schedule: processes of the bot on one database, and all around them, in virtual time."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from contextvars import Context
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

from bot.store import Unit
from tests.bot.builders import NOW
from tests.simulation.checks import Checks
from tests.simulation.database import Database
from tests.simulation.loop import Loop
from tests.simulation.people import People
from tests.simulation.process import Process
from tests.simulation.provider import Vendor
from tests.simulation.schedule import HOUR, Blow, Dice, Effect, Schedule, Strike
from tests.simulation.slack import Workspace
from tests.simulation.ties import Board

T = TypeVar("T")

LOOK_EVERY = 60.0
CALM = 3
"""Looks in a row at which nothing is left to do until it is over."""


class World:
    def __init__(self, schedule: Schedule, database: Database) -> None:
        self.schedule = schedule
        self.database = database
        self.dice = Dice(schedule.seed)
        shuffle = Random(f"shuffle {schedule.seed}") if schedule.shuffled else None  # noqa: S311
        self.loop = Loop(shuffle)  # type: ignore[abstract]
        self.tally: Counter[str] = Counter()
        self.log: list[str] = []
        self.violations: list[str] = []
        self.ahead = 0.0
        """Seconds by which the machines' clocks are ahead of the true time."""
        self.is_over = False
        self.is_burying = False
        """Whatever is logged now is not."""
        self._calm = 0
        self.checks = Checks(self)
        self.workspace = Workspace(self)
        self.vendor = Vendor(self)
        self.people = People(self)
        self.board = Board(self)
        self.processes: list[Process] = []
        """Those that live."""
        self.reached: Counter[tuple[int, Effect]] = Counter()
        self.strikes: defaultdict[tuple[int, Effect, int], list[Strike]] = defaultdict(list)
        self._born = 0
        self.remembered: dict[object, Any] = {}
        """What was read since the last commit."""

    def clock(self) -> datetime:
        return NOW + timedelta(seconds=self.loop.now + self.ahead)

    def elapsed(self) -> float:
        return self.loop.now

    def later(self, seconds: float, work: Callable[..., object], *args: object) -> None:
        """Let the world, and no process, do something."""
        self.loop.call_at(self.loop.now + max(seconds, 0.0), work, *args, context=Context())

    def say(self, text: str, who: Process | None = None) -> None:
        self.log.append(f"{self.loop.now:10.3f}  {f'[{who.name}] ' if who else ''}{text}")

    def violated(self, text: str) -> None:
        self.say(f"VIOLATED: {text}")
        self.violations.append(text)

    @property
    def trace(self) -> str:
        """One hash over all that happened."""
        return hashlib.sha256("\n".join(self.log).encode()).hexdigest()

    def door(self) -> Process | None:
        """A process that takes what people do."""
        open_ = [one for one in self.processes if one.workflow is not None and not one.is_stopped]
        return self.dice.pick("door", open_) if open_ else None

    # --- running ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything happen, and go on until nothing is left to do."""
        schedule = self.schedule
        self.database.empty()
        self.database.clock = self.clock
        for strike in schedule.strikes:
            if strike.effect is None:
                self.later(strike.at, self._strike_whoever, strike)
            else:
                self.strikes[strike.process, strike.effect, strike.nth].append(strike)
        for at, order, change in schedule.changes:
            self.later(at, self.vendor.change, order, change)
        for departure in schedule.departures:
            self.later(departure.at, self.workspace.lose, departure)
        for at, by in schedule.steps:
            self.later(at, self._set_clock, by)
        self.people.come()
        for slot in range(2 if schedule.shared else 1):
            self.later(0.0, self.bear, slot)
        self.later(schedule.over, self._look)
        horizon = schedule.over + schedule.ttl + schedule.confirm_within + schedule.reconcile_for + 6 * HOUR
        self.loop.run_while(lambda: not self.is_over and not self.violations, horizon)
        self._finish(horizon)

    def _look(self) -> None:
        self._calm = self._calm + 1 if self._is_calm() else 0
        self.is_over = self._calm >= CALM
        if not self.is_over:
            self.later(LOOK_EVERY, self._look)

    def _is_calm(self) -> bool:
        wanted = 2 if self.schedule.shared else 1
        up = [process for process in self.processes if process.workflow and not process.is_stopped]
        return len(up) == wanted and not self.people.still_to_come and self.checks.is_settled()

    def _finish(self, horizon: float) -> None:
        for problem in self.loop.problems:
            self.violated(f"asyncio complains: {problem}")
        if not self.violations:
            if not self.is_over:
                self.violated(f"not everything has settled by {horizon:.0f} s: {self.checks.what_is_left()}")
            self.checks.at_the_end()
        for process in tuple(self.processes):
            process.is_dead = True
            self._bury(process)

    def _set_clock(self, by: float) -> None:
        self.ahead += by
        self.tally["the clock was set"] += 1
        self.say(f"the clocks are set by {by:+.0f} s")

    # --- the database -----------------------------------------------------------------------------

    def write(self, work: Callable[[Unit], T]) -> T:
        self.remembered.clear()
        return self.database.store.write_now(work)

    def read(self, work: Callable[[Unit], T]) -> T:
        """The same question at the same moment has the same answer, and a worker often asks twice."""
        cells = tuple(repr(cell.cell_contents) for cell in work.__closure__ or ())
        question = (work.__code__, cells, self.clock())
        if question not in self.remembered:
            self.remembered[question] = self.database.store.read_now(work)
        answer: T = self.remembered[question]
        return answer

    # --- processes --------------------------------------------------------------------------------

    def bear(self, slot: int) -> None:
        self._born += 1
        process = Process(self, slot, self._born)
        self.processes.append(process)
        self.say("starts", process)
        process.spawn(process.live(), "start")

    def is_gone(self, process: Process, restart: float) -> None:
        """From now on nothing of this process runs."""
        if process.is_dead:
            return
        process.is_dead = True
        process.let_down_at.append(self.loop.now)
        self.processes.remove(process)
        if process.tie is not None:
            self.board.leaves(process.tie)
        self.later(0.0, self._bury, process)
        self.later(restart, self.bear, process.slot)

    def _bury(self, process: Process) -> None:
        self.is_burying = True
        self.loop.bury(process)
        self.is_burying = False

    def reach(self, process: Process, effect: Effect) -> list[Strike]:
        """What befalls this process now that it comes to this effect."""
        key = (process.slot, effect)
        self.reached[key] += 1
        return self.strikes.get((*key, self.reached[key]), []) if self.strikes else []

    def _strike_whoever(self, strike: Strike) -> None:
        for process in tuple(self.processes):
            if process.slot == strike.process:
                self.strike(process, strike)

    def strike(self, process: Process, strike: Strike) -> None:
        if process.is_dead or process.is_stopped:
            return
        where = strike.effect.value if strike.effect else "at some moment"
        self.tally[f"{strike.blow.value}: {where}"] += 1
        self.say(f"{strike.blow.value}, {where}", process)
        match strike.blow:
            case Blow.KILL:
                self.is_gone(process, strike.seconds)
            case Blow.TERMINATE:
                process.terminate(strike.seconds)
            case Blow.CUT:
                if process.tie is not None:
                    process.tie.cut(strike.seconds)
            case Blow.STOP | Blow.SUSPEND:
                process.is_stopped = True
                if process.tie is not None:
                    self.board.is_silent(process.tie)
                self.later(strike.seconds, self._go_on, process, strike)

    def _go_on(self, process: Process, strike: Strike) -> None:
        if not process.is_dead:
            self.say("goes on", process)
            if process.tie is not None:
                self.board.goes_on(process.tie)
            self.loop.continue_(process, strike.seconds if strike.blow is Blow.SUSPEND else 0.0)
