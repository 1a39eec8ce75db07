"""One point tried: a cancellation from beginning to end, and what is done to the bot on the way."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from sandbox.slack.workspace import NeverHappened
from tests.crash.cancellation import Cancellation
from tests.crash.machine import Died, Machine
from tests.crash.points import Point
from tests.crash.strace import Strace
from tests.crash.verdict import violations

LIMIT = 150.0
"""Seconds for a whole cancellation, crashes included."""
ENDS_BY_ITSELF = 3
"""Times that a bot may end without being killed, until nobody starts it any more."""
BROKEN_FOR = 1.5
"""Seconds that a broken disk stays so after it was first noticed."""
READY_WITHIN = 10.0
"""Seconds from a start to being ready, if the machine does nothing else."""
WELL_WITHIN = 30.0
"""Seconds after which a bot has caught up whose disk was full and is not any more."""
RESTART_AFTER = 20.0
"""Seconds after which a bot that does not go on after an I/O error is started anew. One whose disk was
only full has to go on by itself."""
SIGKILLED = -9


class DoesNotStart(Exception):
    """Nothing was done to it, and it ended all the same."""


@dataclass
class Report:
    """What came of one point."""

    point: str
    moments: list[str] = field(default_factory=list)
    """How things stood at each death."""
    reached: bool = False
    ready_after: float = 0.0
    """The longest that a start after a death took, in seconds."""
    seconds: float = 0.0
    well_after: float = 0.0
    """Seconds from when the disk was well again to the end."""
    remarks: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        times = Counter(self.moments)
        moments = [f"{moment} ({many} times)" if many > 1 else moment for moment, many in times.items()]
        parts = [", ".join(moments) or ("did not die" if self.reached else "NOT REACHED")]
        if self.ready_after:
            parts.append(f"ready again in {self.ready_after:.1f} s")
        if self.well_after:
            parts.append(f"done {self.well_after:.1f} s after the disk was well again")
        line = "; ".join([f"{self.point}: {parts[0]}", *parts[1:], *self.remarks, f"{self.seconds:.1f} s"])
        return "\n".join([line, *(f"    VIOLATED: {each}" for each in self.violations)])


class Trial:
    """Needs a machine, whose bot may run or not, and leaves one that runs."""

    def __init__(self, machine: Machine, point: Point, number: int) -> None:
        self.machine = machine
        self.point = point
        self.done = Cancellation(machine, point.provider, f"crash number {number}")
        self.vendor = self.done.vendor
        self.report = Report(str(point))
        self._healing: asyncio.Task[None] | None = None
        self._well_since = 0.0

    async def run(self, arranged: Callable[[Trial], Awaitable[None]]) -> Report:
        """`arranged` brings the point about; the rest is done as people would."""
        began, already_logged = time.monotonic(), self.machine.log_length
        try:
            async with asyncio.timeout(LIMIT):
                await self._to_the_end(arranged)
            self.report.violations += violations(self.done, broken=bool(self.point.error))
        except (NeverHappened, TimeoutError, DoesNotStart) as stuck:
            why = str(stuck).partition("\n")[0] or f"not within {LIMIT:.0f} s"
            self.report.violations += [f"it came to no end: {why}", f"the channel: {self.done.transcript}"]
        finally:
            await self._put_away()
        self._judge_deaths()
        self.report.seconds = time.monotonic() - began
        if self.report.violations:
            self.report.violations.append(f"the log: {self.machine.logged(already_logged)}")
        return self.report

    async def start(self, options: Sequence[str] = ()) -> None:
        """Start the bot after a death; with `options`, under strace."""
        self._note_death()
        await self.machine.start(*options)
        if not options:
            self.report.ready_after = max(self.report.ready_after, self.machine.ready_after)

    async def until_it_dies(self, work: Awaitable[None]) -> bool:
        """False when `work` ended and the bot is still there."""
        try:
            await work
        except Died:
            return True
        return False

    async def attach(self) -> None:
        """Put strace beside the running bot, as the point says."""
        strace = await self.machine.trace(*self.point.options, threads=self.point.threads)
        if self.point.error:
            self._healing = asyncio.create_task(self._heal(strace))

    async def _to_the_end(self, arranged: Callable[[Trial], Awaitable[None]]) -> None:
        if await self.until_it_dies(arranged(self)) or not self.machine.is_running:
            while await self.until_it_dies(self._go_on()):
                if self._ended_by_itself >= ENDS_BY_ITSELF:
                    raise DoesNotStart("it does not stay up")
        if self._well_since:
            self.report.well_after = time.monotonic() - self._well_since

    async def _go_on(self) -> None:
        if not self.machine.is_running:
            await self.start()
        await self.done.finish()

    @property
    def _ended_by_itself(self) -> int:
        return sum(death.exit_code != SIGKILLED for death in self.done.deaths)

    def _note_death(self) -> None:
        death = self.done.mourn()
        self.report.moments.append(death.moment)
        self.report.reached = True

    async def _heal(self, strace: Strace) -> None:
        """Let the disk be broken for a while, then well again."""
        if await strace.says("INJECTED") is None:
            return
        self.report.reached = True
        await asyncio.sleep(BROKEN_FOR)
        await strace.detach()
        self._well_since = time.monotonic()
        if self.point.error != "ENOSPC":
            await asyncio.sleep(RESTART_AFTER)
            self.report.remarks.append("started anew because it did not go on")
            await self.machine.kill()

    async def _put_away(self) -> None:
        self.done.close()
        self.vendor.stop_failing()
        self.vendor.release()
        self.machine.world.workspace.faults.clear()
        self.machine.world.workspace.release()
        await self.machine.untrace()
        if self._healing is not None:
            self._healing.cancel()
            await asyncio.gather(self._healing, return_exceptions=True)

    def _judge_deaths(self) -> None:
        busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        if self.report.ready_after > READY_WITHIN * busy:
            self.report.violations.append(f"ready only after {self.report.ready_after:.1f} s")
        if self.point.error == "ENOSPC" and self.report.well_after > WELL_WITHIN * busy:
            self.report.violations.append(f"went on only {self.report.well_after:.0f} s after there was room")
        codes = {death.exit_code for death in self.done.deaths} - {SIGKILLED}
        if codes:
            ended = f"it ended by itself, with exit code {' and '.join(map(str, sorted(codes)))}"
            (self.report.remarks if self.point.error else self.report.violations).append(ended)
