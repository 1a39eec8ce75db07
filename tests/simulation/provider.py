"""A provider that does with a cancel whatever a network and a busy server can do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Self

from providers import fence
from providers.contract import Attempt, Credentials, Facts, OrderState, Outcome, Result, Standing
from providers.http import HttpLimits
from tests.simulation.schedule import CALL, Change, Effect, Schedule
from tests.simulation.slack import FACTS

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

ACCOUNT = "https://vendor.example.com northwind"
NAMES = (("100", "900"), ("200", "800"))
"""The references of each order: the usual one, and another that means the same."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a cancel that arrives while the order can be cancelled."""

    name: str
    happens: bool
    """It is carried out."""
    within: tuple[float, float]
    """Seconds after which it is."""
    answer: Outcome | None
    """None: there is no answer."""
    answered: tuple[float, float] = (0.1, 1.0)
    """Seconds after that, or after it arrived where nothing happens."""


DONE = Outcome(Result.CANCELLED, "It is cancelled.", settled=True)
TAKEN = Outcome(Result.ACCEPTED, "It will be cancelled.", settled=True)
CUT = Outcome(Result.UNKNOWN, "The connection was lost.", "connection_lost")
ODD = Outcome(Result.UNKNOWN, "The answer made no sense.", "http_500", settled=True)
NO = Outcome(Result.REFUSED, "The provider does not want to.", settled=True)
UNSENT = Outcome(Result.NO_EFFECT, "No connection could be made.", "connect_error")
BUSY = Outcome(Result.NO_EFFECT, "Too many calls.", "http_429", settled=True)
TOO_LATE = Outcome(Result.NO_EFFECT, "The bot was stopped before it could send.", "too_late")
NO_LONGER = Outcome(Result.REFUSED, "The order cannot be cancelled.", settled=True)
BEFORE = Outcome(Result.ALREADY_CANCELLED, "The order was cancelled before.", settled=True)

AT_ONCE = Fate("carried out at once", True, (0.05, 2), DONE)
FATES = (
    AT_ONCE,
    Fate("carried out slowly", True, (2, CALL - 2), DONE),
    Fate("carried out, answer lost", True, (0.05, 5), CUT),
    Fate("carried out, no answer ever", True, (0.05, 5), None),
    Fate("carried out after the caller gave up", True, (CALL, 2 * CALL), None),
    Fate("connection cut, carried out later", True, (1, CALL), CUT, (-1, -0.5)),
    Fate("dropped, connection cut", False, (0, 0), CUT),
    Fate("dropped, no answer ever", False, (0, 0), None),
    Fate("refused", False, (0, 0), NO),
    Fate("turned away", False, (0, 0), BUSY),
    Fate("answered oddly, not carried out", False, (0, 0), ODD),
    Fate("answered oddly, carried out", True, (0.05, 2), ODD),
)


@dataclass
class Order:
    """One order, as it really is."""

    number: int
    version: int = 0
    is_gone: bool = False
    is_taken: bool = False
    """A cancel was accepted and is not carried out yet."""
    is_declined: bool = False
    cancelled_at: float | None = None
    cancelled_by: str = ""
    """The short ID of the request that did it; empty when it was somebody else."""
    past: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    """Since when it has had which version."""

    def version_at(self, at: float) -> int:
        return next(version for since, version in reversed(self.past) if since <= at)


@dataclass
class Send:
    """A cancel of which at least a byte has left."""

    request: str
    order: Order
    at: float
    attempt: int
    fate: Fate | None = None
    left_at: float | None = None
    """When its caller gave up, had an answer, or was dead."""
    happens_at: float | None = None
    """When it will be carried out, or was; None when it never will be."""
    happened: bool = False


class Vendor:
    """The truth about orders."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders = {
            name: order for number, names in enumerate(NAMES) for order in [Order(number)] for name in names
        }
        self.sends: list[Send] = []

    def sends_of(self, request: str) -> list[Send]:
        return [send for send in self.sends if send.request == request]

    def change(self, number: int, change: Change) -> None:
        order = self.orders[NAMES[number][0]]
        if order.cancelled_at is not None or order.is_gone:
            return
        self.world.say(f"{change.value} ({NAMES[number][0]})")
        self.world.tally[change.value] += 1
        if change is Change.FACTS:
            order.version += 1
            order.past.append((self.world.loop.now, order.version))
        elif change is Change.GONE:
            order.is_gone = True
        else:
            self._cancel(order, "")

    def _cancel(self, order: Order, by: str) -> None:
        order.cancelled_at, order.cancelled_by = self.world.loop.now, by
        order.is_taken = False

    # --- a cancel arrives -----------------------------------------------------------------------------

    def arrives(self, send: Send) -> Outcome | None:
        """The answer if it can be given at once; otherwise what happens is on its way."""
        order = send.order
        if order.cancelled_at is not None:
            return BEFORE
        if order.is_gone or order.is_declined:
            return NO_LONGER
        if order.is_taken:
            return TAKEN
        self._let_happen(send)
        return None

    def _let_happen(self, send: Send) -> None:
        dice, schedule = self.world.dice, self.world.schedule
        is_odd = dice.roll("cancel odd") < schedule.fates
        fate = send.fate = dice.pick("fate", FATES) if is_odd else AT_ONCE
        self.world.tally[f"a cancel was {fate.name}"] += 1
        self.world.say(f"the cancel of request {send.request} will be {fate.name}")
        if fate.happens:
            send.happens_at = send.at + dice.between("happens", *fate.within)
            self.world.later(send.happens_at - self.world.loop.now, self._happen, send)

    def _happen(self, send: Send) -> None:
        if send.happens_at is None or send.happens_at > self.world.loop.now + 1e-6 or send.happened:
            return  # it was moved to another time
        order, send.happened = send.order, True
        if order.cancelled_at is not None or order.is_gone or order.is_taken or order.is_declined:
            send.happens_at = None
        elif self.world.schedule.asynchronous:
            order.is_taken = True
            self.world.say(f"the provider accepts the cancel of request {send.request}")
            wait = self.world.dice.pick("confirmed", [5.0, 600.0, 3600.0, 3 * 3600.0])
            self.world.later(wait, self._confirm, send)
        else:
            self._carry_out(send)

    def _confirm(self, send: Send) -> None:
        if not send.order.is_taken:
            return
        if self.world.dice.roll("declined") < 0.2:
            send.order.is_taken, send.order.is_declined = False, True
            self.world.say(f"the provider declines the cancel of request {send.request} after all")
        else:
            self._carry_out(send)

    def _carry_out(self, send: Send) -> None:
        self._cancel(send.order, send.request)
        self.world.say(f"the order is cancelled, by request {send.request}")
        self.world.checks.was_carried_out(send)

    def is_left(self, send: Send) -> None:
        """The caller waits no longer; what has not happened will happen within a deadline, or never."""
        now = send.left_at = self.world.loop.now
        if send.happens_at is not None and not send.happened and send.happens_at > now + CALL:
            send.happens_at = now + self.world.dice.between("moved", 0, CALL)
            self.world.later(send.happens_at - now, self._happen, send)


class SimulatedProvider:
    """The adapter, as one process has it. It reads carefully, as the real ones do."""

    facts: ClassVar[Facts] = FACTS

    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = process.world
        self._vendor = process.world.vendor
        self._looked_up: dict[int, float] = {}
        """When each order was last seen."""

    @property
    def account(self) -> str:
        return ACCOUNT

    @classmethod
    def from_settings(cls, values: Mapping[str, str], limits: HttpLimits) -> Self:
        raise NotImplementedError

    def turn(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def look_up(self, reference: str) -> OrderState:
        await self._process.at(Effect.LOOK_UP)
        order = await self._read(reference)
        await self._process.at(Effect.LOOKED_UP)
        return order

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:
        world = self._world
        await self._process.at(Effect.CANCEL)
        await asyncio.sleep(world.dice.pick("connect", [0.05, 0.05, 3.0, 25.0]))
        if self._is_away():
            return UNSENT
        if fence.is_closed():
            world.tally["a cancel was held back by the fence"] += 1
            return TOO_LATE
        return await self._answer(self._leaves(reference, note))

    def _leaves(self, reference: str, note: str) -> Send:
        world = self._world
        request = note.rstrip(".").rpartition(" ")[2]
        order = self._vendor.orders[reference]
        send = Send(request, order, world.loop.now, len(self._vendor.sends_of(request)) + 1)
        world.say(f"a cancel of order {reference} leaves for request {request}", self._process)
        world.checks.is_sent(
            send, reference, self._process, world.loop.now - self._looked_up.get(order.number, 0.0)
        )
        self._vendor.sends.append(send)
        return send

    async def _answer(self, send: Send) -> Outcome:
        world = self._world
        self._process.reach_later(Effect.SENT, world.dice.between("under way", 0, 5))
        try:
            answer = self._vendor.arrives(send)
            if answer is None:
                answer = await self._wait(send)
        finally:
            self._vendor.is_left(send)
        world.say(
            f"the answer to request {send.request}: {answer.result.value} ({answer.code or 'ok'})",
            self._process,
        )
        await self._process.at(Effect.ANSWERED)
        return answer

    async def _wait(self, send: Send) -> Outcome:
        world, fate = self._world, send.fate
        assert fate is not None
        if fate.answer is None:
            # Some clients give up by themselves; others are cut off.
            await asyncio.sleep(world.dice.pick("gives up", [CALL, 10 * CALL]) - (world.loop.now - send.at))
            return replace(CUT, code="read_timeout", said="No answer came in time.")
        happens = (send.happens_at or send.at) - world.loop.now
        await asyncio.sleep(max(0.0, happens + world.dice.between("answer", *fate.answered)))
        if fate.answer is not DONE:
            return fate.answer
        if send.happens_at is None:  # something else happened to the order first
            return NO_LONGER if send.order.cancelled_at is None else BEFORE
        return TAKEN if world.schedule.asynchronous else DONE

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        await self._process.at(Effect.FOLLOW_UP)
        found = _judge(await self._read(reference), attempt, self._world.schedule)
        self._world.tally[f"a look-up after a cancel showed {found.result.value}"] += 1
        await self._process.at(Effect.FOLLOWED_UP)
        return found

    async def check(self) -> Credentials:
        return Credentials(True, "These are right.")

    async def close(self) -> None:
        return

    def _is_away(self) -> bool:
        return any(self._world.loop.now in window for window in self._world.schedule.provider_away)

    async def _read(self, reference: str) -> OrderState:
        """The order as it is at some moment of the call, or was a little before."""
        world = self._world
        await asyncio.sleep(world.dice.between("read", 0.05, 1))
        if self._is_away():
            world.tally["the provider could not be asked"] += 1
            return OrderState(Standing.UNREADABLE, detail="No connection could be made.")
        found = _seen(self._vendor.orders[reference], world.loop.now - world.schedule.lag)
        self._looked_up[self._vendor.orders[reference].number] = world.loop.now
        await asyncio.sleep(world.dice.between("read", 0.05, 1))
        return found


def facts_of(order: Order, version: int) -> tuple[tuple[str, str], ...]:
    return (("Domain", f"{order.number}.example"), ("Version", str(version)))


def _seen(order: Order, at: float) -> OrderState:
    shown = OrderState(
        Standing.CANCELLABLE,
        status="pending",
        identity=f"order {order.number}",
        facts=facts_of(order, order.version_at(max(at, 0.0))),
    )
    if order.cancelled_at is not None and order.cancelled_at <= at:
        return replace(shown, standing=Standing.CANCELLED, status="cancelled")
    if order.is_gone:
        return replace(shown, standing=Standing.NOT_CANCELLABLE, status="issued", detail="It is issued.")
    if order.is_declined:
        return replace(shown, standing=Standing.NOT_CANCELLABLE, status="declined", detail="It was declined.")
    return replace(shown, status="to be cancelled") if order.is_taken else shown


def _judge(order: OrderState, attempt: Attempt, schedule: Schedule) -> Outcome:
    """Like the readings of the real adapters: nothing is taken for proof that is none."""
    match order.standing:
        case Standing.CANCELLED:
            return Outcome(Result.CANCELLED, "It is cancelled.")
        case Standing.UNREADABLE:
            return Outcome(Result.UNKNOWN, order.detail)
        case Standing.NOT_CANCELLABLE:
            return Outcome(Result.REFUSED, order.detail)
    if order.status == "to be cancelled":
        return Outcome(Result.ACCEPTED, "It will be cancelled.", look_again=timedelta(minutes=25))
    if schedule.lag and attempt.age < (known := timedelta(seconds=schedule.lag + CALL)):
        return Outcome(Result.UNKNOWN, "It shows later.", look_again=known - attempt.age)
    return Outcome(Result.NO_EFFECT, "The order is as it was.")
