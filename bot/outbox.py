"""Delivers to Slack what is owed, for as long as it takes. The only outgoing messages of the bot.

Within a lane messages go out in the order in which they were written down; a request is one lane. A
card is painted from the request as it is at that moment, so ten changes while Slack was away are one
update, and an old picture never overwrites a newer one for good: a process that was stopped while it
painted has whoever delivers since then paint once more.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from bot.announce import Kind
from bot.delivery import (
    LONGEST_SILENCE,
    Delivery,
    Pace,
    Paint,
    Silenced,
    Silences,
    Then,
    an_empty_home,
    may_be_there,
)
from bot.errors import StorageError
from bot.logs import about, get_logger
from bot.slack import UNREACHABLE, Slack, SlackProblem
from bot.store import Store, Unit
from bot.store.messages import OwedMessage
from bot.traces import span
from providers.contract import Facts

log = get_logger(__name__)

AT_ONCE = 32
AT_ONCE_PER_TARGET = 4
"""So that a channel with a long queue does not hold up the others: its messages wait for their turn."""
NOTE_AGAIN = 1.0
"""Seconds between two attempts to write down what Slack has taken."""
PASSING = 3
"""Failures of one message in a row that are nobody's concern yet."""
PICTURES = frozenset({Kind.CARD, Kind.HOME})
"""Of which the last one counts."""
CLOSED = UNREACHABLE | {"is_inactive"}
"""Slack's answers that do not change until somebody does something about the channel; those that begin
with `restricted_action` are others."""


UNTIL_IT_IS_KNOWN = timedelta(seconds=0.2)
"""Between two looks whether this process has the right to deliver still."""
HOLD_BACK = 0.05
"""Seconds for which what nobody waits for is held back. What happens next often changes the same card again,
and a cancel that was approved leaves before the channel is told so."""
A_SECOND = 1.02
"""And a hair: what arrives a moment early is refused, and comes seconds later than it would have."""


class SlackPace:
    """One message a second and channel, after a burst of a few at once: what Slack allows."""

    def __init__(self, every: float = A_SECOND, burst: int = 3) -> None:
        self._every = every
        self._burst = burst
        self._free_at: dict[str, float] = {}

    async def turn(self, channel: str) -> None:
        now = asyncio.get_running_loop().time()
        mine = max(self._free_at.get(channel, 0.0), now - self._every * (self._burst - 1))
        self._free_at[channel] = mine + self._every
        await asyncio.sleep(max(0.0, mine - now))


def for_good() -> int:
    """The tenure of a process that has the right to deliver for as long as it lives."""
    return 1


class OwnTurns:
    """The turns of a process that may lose the right to deliver while it waits for one: what has not gone
    out by then is delivered by another process, and must not follow later."""

    def __init__(self, pace: Pace, tenure: Callable[[], int], clock: Callable[[], datetime]) -> None:
        """`tenure`: a number for each time this process got the right; 0 while it has none."""
        self._pace = pace
        self._tenure = tenure
        self._clock = clock

    async def turn(self, channel: str) -> None:
        """Raises `Silenced` instead of giving a turn to a process that lost its right to one."""
        tenure = self._tenure()
        await self._pace.turn(channel)
        if not tenure or tenure != self._tenure():
            raise Silenced(self._clock() + UNTIL_IT_IS_KNOWN)


@dataclass(frozen=True, slots=True)
class Retry:
    first: timedelta
    longest: timedelta

    def after(self, tries: int) -> timedelta:
        wait: timedelta = self.first * 2 ** min(tries, 20)
        return min(wait, self.longest) * random.uniform(1.0, 1.25)  # noqa: S311

    @property
    def most(self) -> timedelta:
        """Nothing waits longer than this."""
        return max(self.longest * 1.25, LONGEST_SILENCE)


class Outbox:
    def __init__(
        self,
        store: Store,
        slack: Slack,
        facts: Mapping[str, Facts],
        retry: Retry,
        pace: Pace,
        clock: Callable[[], datetime],
        idle: float = 30.0,
        home: Paint = an_empty_home,
        tenure: Callable[[], int] = for_good,
    ) -> None:
        """`idle`: seconds after which the database is read again even if nobody woke us. `home`: what
        somebody's App Home is to show. `tenure`: a number for each time this process got the right to
        deliver; 0 while it has none."""
        self._store = store
        self._delivery = Delivery(store, slack, facts, pace, clock, Silences(clock), home)
        self._retry = retry
        self._clock = clock
        self._idle = idle
        self._tenure = tenure
        self._wake = asyncio.Event()
        self._is_running = False
        self._held_back: set[str] = set()
        """Lanes to look into when those that are awaited had their turn."""
        self._all_held_back = False
        self._let_go_soon: asyncio.TimerHandle | None = None
        self._everywhere = True
        """Whether all lanes are to be looked through for what is next in them."""
        self._look_at = inf
        """When they are looked through although nobody told of anything, by the loop's time."""
        self._told: set[str] = set()
        """Lanes to look into."""
        self._next: dict[str, OwedMessage] = {}
        """What is first in each lane that has anything and is not under way."""
        self._ahead = timedelta(0)
        """Of `clock`: the time that counts, which may be the database's."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """What is under way, by lane."""
        self._targets: Counter[str] = Counter()
        self._silenced: dict[str, datetime] = {}
        """Lanes whose next message waits because Slack asked for silence where it goes."""
        self._look_first: set[int] = set()
        """Messages that Slack may have taken although nobody noted it."""
        self._refused: dict[str, str] = {}
        """Why Slack does not take what is next in a lane."""

    @property
    def problem(self) -> str:
        """Why Slack does not take messages at the moment: for `/readyz`."""
        reasons = ", ".join(sorted(set(self._refused.values())))
        return f"Slack does not take messages ({reasons})" if reasons else ""

    def wake(self) -> None:
        """Something may be owed, wherever."""
        self._all_held_back = True
        self._hold_back(frozenset())

    def wake_for(self, lanes: Set[str], awaited: Set[str] = frozenset()) -> None:
        """Something is owed in these lanes that was not before; in some of them it is awaited."""
        if awaited and self._is_running:
            self._told |= awaited
            self._wake.set()
        if held_back := lanes - awaited:
            self._hold_back(held_back)

    def _hold_back(self, lanes: Set[str]) -> None:
        if not self._is_running:
            return  # it looks everywhere when it begins
        self._held_back |= lanes
        if self._let_go_soon is None:
            self._let_go_soon = asyncio.get_running_loop().call_later(HOLD_BACK, self._let_go)

    def _let_go(self) -> None:
        self._let_go_soon = None
        self._told |= self._held_back
        self._everywhere |= self._all_held_back
        self._held_back, self._all_held_back = set(), False
        self._wake.set()

    async def run(self) -> None:
        """Deliver what is owed, for ever. May be cancelled and begun again at any time; what was under
        way then ends by itself, or by `drain`."""
        self._is_running = True
        try:
            await self._recall()
            self._everywhere = True
            while True:
                self._wake.clear()
                await self._look()
                await self._sleep(self._start_what_is_due())
        finally:
            self._is_running = False
            self._told, self._held_back = set(), set()
            self._refused.clear()  # whoever delivers from now on knows better

    async def _look(self) -> None:
        """Find out what is first in the lanes of which something was told. A lane that is under way finds
        out by itself what is next, and is looked into once more when it has come to its end."""
        everywhere, under_way = self._everywhere, set(self._tasks)
        lanes = self._told - under_way
        if not everywhere and not lanes:
            return
        if everywhere:
            self._everywhere = False
            self._look_at = asyncio.get_running_loop().time() + self._idle
        self._told = under_way.copy() if everywhere else self._told & under_way
        now, owed = await self._store.read(
            lambda unit: (unit.now, unit.owed() if everywhere else unit.owed_in(lanes))
        )
        self._ahead = now - self._clock()
        for lane in [lane for lane in self._next if everywhere or lane in lanes]:
            if lane not in under_way:
                del self._next[lane]
        # What was under way before the read may look undelivered in it and be delivered by now.
        self._next |= {message.lane: message for message in owed if message.lane not in under_way}

    async def drain(self, grace: float) -> None:
        """Give deliveries that are under way `grace` seconds to end. What is cut off then is owed still."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace)
        cut_off = list(self._tasks.values())
        for task in cut_off:
            task.cancel()
        await asyncio.gather(*cut_off, return_exceptions=True)

    async def _recall(self) -> None:
        """What is first in its lane may have been under way when it was last delivered from here, or from
        a process that died; what is behind it was not."""
        for message in await self._store.read(lambda unit: unit.owed()):
            self._look_first.add(message.id)
            if message.problem:
                self._complain(message, message.problem, message.tries)

    def _start_what_is_due(self) -> float:
        """The oldest first. Returns the seconds until the next is due."""
        now = self._clock() + self._ahead
        wait = inf
        for message in sorted(self._next.values(), key=lambda message: message.id):
            seconds = self._wait(message, now).total_seconds()
            if seconds > 0:
                wait = min(wait, seconds)
            elif self._has_room_for(message):
                self._start(self._next.pop(message.lane))
        return wait

    def _has_room_for(self, message: OwedMessage) -> bool:
        """What is next in a lane is known a moment before the one before it has ended."""
        return (
            message.lane not in self._tasks
            and len(self._tasks) < AT_ONCE
            and self._targets[message.target] < AT_ONCE_PER_TARGET
        )

    def _wait(self, message: OwedMessage, now: datetime) -> timedelta:
        silenced = self._silenced.get(message.lane)
        wait = max(message.due - now, silenced - self._clock() if silenced else timedelta(0))
        return wait if wait <= self._retry.most else timedelta(0)  # the clock was set back

    def _start(self, message: OwedMessage) -> None:
        task = asyncio.create_task(self._deliver(message), name=f"deliver {message.kind} {message.id}")
        self._tasks[message.lane] = task
        self._targets[message.target] += 1
        task.add_done_callback(lambda done: self._done(message, done))

    def _done(self, message: OwedMessage, task: asyncio.Task[None]) -> None:
        del self._tasks[message.lane]
        self._targets[message.target] -= 1
        if not task.cancelled() and (problem := task.exception()):
            log.error("delivery_failed", lane=message.lane, exc_info=problem)
        self._wake.set()

    async def _sleep(self, seconds: float) -> None:
        """Until something new is owed, a delivery ends, a postponed message is due again, or it is time to
        see whether somebody saved something and did not tell."""
        loop = asyncio.get_running_loop()
        until = min(loop.time() + seconds, self._look_at)
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            self._everywhere |= until == self._look_at  # whether or not the loop is a moment early
        self._everywhere |= loop.time() >= self._look_at

    async def _deliver(self, message: OwedMessage) -> None:
        request = message.request_id or ""
        with about(request=request), span(f"tell: {message.kind}", request=request, tries=message.tries):
            await self._try(message)

    async def _try(self, message: OwedMessage) -> None:
        self._silenced.pop(message.lane, None)
        tenure = self._tenure()
        try:
            if not tenure:
                raise Silenced(self._clock() + UNTIL_IT_IS_KNOWN)
            then = await self._delivery.send(message, message.id in self._look_first)
        except Silenced as told:
            self._silenced[message.lane] = told.until
            self._next[message.lane] = message
            return
        except SlackProblem as problem:
            await self._later(message, problem)
            return
        except Exception as problem:
            log.exception("delivery_failed", kind=message.kind, request=message.request_id)
            await self._later(message, SlackProblem(type(problem).__name__))
            return
        self._refused.pop(message.lane, None)

        is_late = message.kind in PICTURES and tenure != self._tenure()

        def note(unit: Unit) -> None:
            then(unit)
            unit.delivered(message.id)
            if is_late:  # whoever delivers now may have painted a newer one before it
                unit.owe(
                    message.lane,
                    message.kind,
                    request_id=message.request_id,
                    target=message.target,
                    body=message.body,
                )

        await self._note(message, note, is_done=True)
        self._look_first.discard(message.id)

    async def _later(self, message: OwedMessage, problem: SlackProblem) -> None:
        if may_be_there(problem):
            self._look_first.add(message.id)
        self._complain(message, problem.code, message.tries)
        log.warning("delivery_postponed", kind=message.kind, request=message.request_id, why=problem.code)
        wait = problem.retry_after or self._retry.after(message.tries)
        await self._note(message, lambda unit: unit.postpone(message.id, unit.now + wait, problem.code))

    async def _note(self, message: OwedMessage, what: Then, is_done: bool = False) -> None:
        """Write down what Slack has taken or refused, for as long as it takes: until then the lane is
        held, because without the note the same message would go out again. The same transaction tells
        what is next in the lane; of what came behind the last one meanwhile, this process was told."""

        def note(unit: Unit) -> list[OwedMessage]:
            what(unit)
            return [] if is_done and message.is_last else unit.owed_in([message.lane])

        while True:
            try:
                owed = await self._store.write(note)
            except StorageError as problem:
                log.error("delivery_not_noted", why=problem.advice)
                await asyncio.sleep(NOTE_AGAIN)
            else:
                return self._next.update({message.lane: message for message in owed})

    def _complain(self, message: OwedMessage, code: str, tries: int) -> None:
        if code in CLOSED or code.startswith("restricted_action"):
            self._refused[message.lane] = f"{code}: {message.target}"
        elif SlackProblem(code).is_auth or tries >= PASSING:
            self._refused[message.lane] = code
