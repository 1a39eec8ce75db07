"""The workshop: takes what is due and does it. The only place that calls providers.

Any action may be interrupted at any point and run again. What keeps a cancel from being sent twice is
the permit: a row that is durable before the first byte leaves. A request that has one is never sent
again until a look-up, later than the call could still be running, has proved that nothing happened.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from bot import agenda
from bot.agenda import Kind
from bot.commands import (
    CallPerson,
    Escalate,
    Expire,
    Hold,
    Judge,
    RecordAnswer,
    RecordFollowUp,
    RecordInterruption,
    RecordOrder,
    TakePermit,
)
from bot.directory import Directory
from bot.errors import ChainBroken, CountersignError, StorageError
from bot.logs import about, get_logger
from bot.model import BEFORE_PERMIT, Permit, Request, State
from bot.store import Store, Unit
from bot.store.slots import Claimed, Terms
from bot.supervise import Supervisor
from bot.traces import span
from bot.workflow import Workflow
from providers import fence
from providers.contract import Attempt, OrderState, Outcome, Result, Standing

log = get_logger(__name__)

JUST_NOW = 15.0
"""Seconds within which Slack must have confirmed everybody before a permit is taken."""
LOOK_UP_COUNTS_FOR = 30.0
"""Seconds that may have passed since the order was looked up, besides that call's own deadline: the cancel
waits for its turn, and Slack is asked."""
WRITE_AGAIN = 1.0
"""Seconds between two attempts to write down what must not be lost: an answer, or that an action is done."""
BREATH = timedelta(milliseconds=20)
"""Between two looks when the first left something behind that seems to be due: a clock was set back."""
TIME_TO_SEND = 5.0
"""Seconds that must be left for a call when it begins: with less its answer would most likely be lost."""
A_MOMENT = 0.5
"""Seconds that an adapter has to say how far a call got that took too long."""
STILL_STOPPED = timedelta(seconds=15)
"""Until a request that waits for the end of a pause, or for the history to be verified, is looked at again,
should nobody wake us before."""
NEVER_CONFIRMED = "The provider did not confirm or deny the cancellation in time."


@dataclass(frozen=True, slots=True)
class Deadlines:
    call: timedelta
    """Total deadline of one provider call."""
    reconcile_after: timedelta
    reconcile_for: timedelta


Again = timedelta | None
"""What an action returns: when to run again, or None when it is done."""


class Worker:
    def __init__(
        self,
        store: Store,
        workflow: Workflow,
        directory: Directory,
        deadlines: Deadlines,
        supervisor: Supervisor,
        clock: Callable[[], datetime],
        idle: float = 30.0,
        doubt: Callable[[], str] = lambda: "",
        elapsed: Callable[[], float] = fence.elapsed,
        name: str = "",
    ) -> None:
        """`idle`: seconds after which the database is read again even if nobody woke us. `doubt`: why
        this process must send nothing at present, empty when there is no reason. `elapsed`: seconds
        that passed, by a clock that nobody can set. `name`: what every claim of this worker begins with,
        so that others can let go of them when it is gone."""
        self._store = store
        self._slots = store.slots
        self._doubt = doubt
        self._elapsed = elapsed
        self._workflow = workflow
        self._directory = directory
        self._deadlines = deadlines
        self._supervisor = supervisor
        self._clock = clock
        self._idle = idle
        # Longer than any action takes: two provider calls and some of Slack's, each with a deadline, and two
        # turns, for which as many wait as one lane holds.
        lease = timedelta(minutes=2) + 4 * deadlines.call
        self._terms = Terms(f"{name}{secrets.token_hex(8)}", lease)
        self._wake = asyncio.Event()
        self._look_at = -inf
        """When something is due, by the loop's time, as far as that is known."""
        self._is_unsure = False
        """Something may be due of which nothing is known here."""
        self._quiet_since: dict[str, float] = {}
        """Since when it is certain that nobody waits for the answer to a permit's call, by epoch."""
        self._actions: dict[str, Callable[[Claimed], Awaitable[Again]]] = {
            Kind.CHECK: self._check,
            Kind.VERIFY: self._verify,
            Kind.CANCEL: self._cancel,
            Kind.FOLLOW_UP: self._follow_up,
            Kind.REMIND: self._remind,
            Kind.ESCALATE: self._escalate,
            Kind.WARN: self._warn,
            Kind.EXPIRE: self._expire,
            Kind.BATCH_REMIND: self._remind_of_batch,
            Kind.BATCH_ESCALATE: lambda held: workflow.batches.escalate(held.key),
            Kind.BATCH_WARN: lambda held: workflow.batches.warn(held.key),
            Kind.BATCH_EXPIRE: lambda held: workflow.batches.expire(held.key),
        }

    def wake(self) -> None:
        """Something was saved, or there is room again: look whether anything is due."""
        self._is_unsure = True
        self._wake.set()

    def wake_in(self, wait: timedelta) -> None:
        """Something becomes due so soon."""
        at = asyncio.get_running_loop().time() + wait.total_seconds()
        if at < self._look_at:
            self._look_at = at
            self._wake.set()

    def begin(self, claimed: Iterable[Claimed]) -> None:
        """Do what was claimed for this worker. While it does not run, claims are let go: its next run takes
        them, or another process when this one is gone."""
        for one in claimed:
            if self._slots.terms is None:
                self._slots.let_go([one])
            else:
                self._supervisor.start(self._perform(one), name=f"{one.kind} {one.key[:8]}")

    async def run(self) -> None:
        """Take what is due, for ever."""
        self._slots.open(self._terms)
        self._is_unsure, self._look_at = False, -inf  # whatever there is, and what was not begun before
        try:
            while True:
                self._wake.clear()
                if self._is_unsure:
                    await self._look()
                if self._look_at <= asyncio.get_running_loop().time():
                    await self._take()
                await self._sleep()
        finally:
            self._slots.close()

    async def _look(self) -> None:
        """By reading only: where there is nothing to take, the disk and other workers are spared."""
        self._is_unsure = False
        full, running = self._slots.full(), self._slots.running()
        wait = await self._store.read(lambda unit: unit.until_due(full, running))
        if wait is not None:
            self.wake_in(wait)

    async def _take(self) -> None:
        """Claim all that is due and finds room, and see when there is more. What finds none stays on the
        agenda; whoever makes room wakes us."""
        self._look_at = inf  # what is told from here on comes on top
        wait = await self._store.write(lambda unit: unit.claim_all())
        if wait is not None:
            self.wake_in(max(wait, BREATH))

    async def _sleep(self) -> None:
        """Until something is due. Every now and then the database is read even if nobody told of anything:
        whoever saved it may not have been able to."""
        until = min(self._look_at, asyncio.get_running_loop().time() + self._idle)
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            if until == self._look_at:
                self._look_at = -inf  # whether or not the loop is a moment early
            else:
                self._is_unsure = True

    async def _perform(self, held: Claimed) -> None:
        """Run one action and put it away; whatever goes wrong, it is tried again later."""
        with (
            about(request=held.key),
            span(f"work: {held.kind}", request=held.key, runs=held.runs),
        ):
            await self._try(held)

    async def _try(self, held: Claimed) -> None:
        is_due_anew = False
        try:
            try:
                again = await self._actions[held.kind](held)
            except ChainBroken as broken:
                log.error("chain_broken", request=held.key, seq=broken.seq, advice=broken.advice)
                again = timedelta(seconds=1)  # to say so on the card; nothing is executed any more
            except CountersignError as problem:
                log.warning("action_failed", kind=held.kind, request=held.key, why=problem.advice)
                again = agenda.next_look(held.runs, None)
            except Exception:
                log.exception("action_failed", kind=held.kind, request=held.key)
                again = agenda.next_look(held.runs, None)
            is_due_anew = not await self._put_away(held, again)
        finally:
            makes_room = self._slots.let_go([held])
            if makes_room or is_due_anew:
                self.wake()

    async def _put_away(self, held: Claimed, again: Again) -> bool:
        """For as long as it takes: an action that is not put away is stuck until its lease is over. Returns
        False when it was scheduled anew meanwhile: whoever looked then left it out, as it was running."""

        def put_away(unit: Unit) -> tuple[bool, timedelta | None]:
            if again is None:
                return unit.finish(held.id, held.token), None
            wait = unit.put_back(held.id, held.token, held.due, again)
            return wait is not None, wait

        while True:
            try:
                is_mine, wait = await self._store.write(put_away)
            except StorageError as problem:
                log.error("action_not_put_away", kind=held.kind, request=held.key, why=problem.advice)
                await asyncio.sleep(WRITE_AGAIN)
            else:
                if wait is not None:
                    self.wake_in(wait)
                return is_mine

    # --- the actions ------------------------------------------------------------------------------

    async def _check(self, held: Claimed) -> Again:
        """Look the order up, so that nobody is asked about an order that cannot be cancelled."""
        request, reference = await self._workflow.load(held.key)
        if request.state is State.CHECKING and reference is not None:
            order, _ = await self._look_up(request, reference)
            await self._workflow.record(request.id, RecordOrder(order))
        return None

    async def _verify(self, held: Claimed) -> Again:
        """Confirm those whose eligibility was not known at the click."""
        request, _ = await self._workflow.load(held.key)
        unsure = [approval.by for approval in request.approvals if not approval.verified]
        if not unsure or request.state not in {State.PENDING, State.APPROVED}:
            return None
        lists = self._workflow.approvers_of(request)
        verdicts = await asyncio.gather(*(self._directory.judge(person, *lists) for person in unsure))
        after = await self._workflow.record(request.id, Judge(tuple(verdicts)))
        left = any(not approval.verified for approval in after.approvals)
        return agenda.next_look(held.runs, None) if left else None

    async def _cancel(self, held: Claimed) -> Again:
        """Carry out what was approved, unless it was begun before or something is in the way."""
        request, reference, stopped = await self._workflow.load_to_send(held.key)
        if request.state is State.EXECUTING and request.permit is not None:
            # The permit was written and no answer is recorded: the process died in between. The call
            # may have gone out; from here on only look-ups tell.
            self._rested(request.permit)
            await self._workflow.record(request.id, RecordInterruption(request.permit.epoch))
            return None
        if request.state is not State.APPROVED or reference is None:
            return None
        if self._clock() >= request.expires_at:
            # Whatever it waited for, nothing below would be reached in time to say so.
            after = await self._workflow.record(request.id, Expire())
            if after.state is not State.APPROVED:
                return None
        try:
            self._workflow.account(request)
        except CountersignError as gone:
            await self._workflow.record(request.id, Hold(gone.advice))
            return agenda.next_look(held.runs + 2, None)
        if stopped:
            await self._workflow.record(request.id, Hold(stopped))
            return STILL_STOPPED
        return await self._execute(held, request, reference)

    async def _execute(self, held: Claimed, request: Request, reference: str) -> Again:
        """Look the order up once more, take a permit, send, and write the answer down."""
        provider = self._workflow.account(request).provider
        order, began = await self._look_up(request, reference)
        async with provider.turn():
            return await self._send_if_permitted(held, request, reference, order, began)

    async def _send_if_permitted(
        self, held: Claimed, request: Request, reference: str, order: OrderState, began: float
    ) -> Again:
        """`began`: since when the order was looked up."""
        epoch = secrets.token_hex(16)
        command = await self._judge(request, order, began, epoch)
        asked_at = self._elapsed()
        if asked_at > began + self._deadlines.call.total_seconds() + LOOK_UP_COUNTS_FOR:
            return agenda.next_look(held.runs, None)  # the machine was suspended, and all of this is old
        permit = await self._workflow.take_permit(request.id, command)
        if permit is None:
            after, _ = await self._workflow.load(request.id)
            return agenda.next_look(held.runs + 2, None) if after.state is State.APPROVED else None
        with about(attempt=permit.attempt):
            outcome = await self._send(request, reference, permit, asked_at)
            after = await self._write_down(request.id, RecordAnswer(epoch, outcome))
            log.info("cancel_answered", result=outcome.result, code=outcome.code)
        if after.state not in {State.ACCEPTED, State.UNKNOWN}:
            self._quiet_since.pop(epoch, None)
        return None

    async def _judge(self, request: Request, order: OrderState, began: float, epoch: str) -> TakePermit:
        lists = self._workflow.approvers_of(request)
        account = self._workflow.account(request)
        people = [approval.by for approval in request.counted]
        # The orders of a list are sent one after the other, and Slack bears so many questions: what it said
        # for another one serves, if that was after this order began to be looked up.
        max_age = min(self._elapsed() - began, JUST_NOW / 2) if request.batch else 0.0
        await self._directory.ask([*people, request.requester], *lists, max_age=max_age)
        return TakePermit(
            epoch=epoch,
            order=order,
            verdicts=tuple(self._directory.known(person, *lists, max_age=JUST_NOW) for person in people),
            requester_present=self._directory.is_present(request.requester, max_age=JUST_NOW),
            quorum=account.quorum,
            account=account.provider.account,
            doubt=self._doubt(),
        )

    async def _send(self, request: Request, reference: str, permit: Permit, asked_at: float) -> Outcome:
        """The one call that cannot be taken back. By `asked_at` plus its deadline it is over: whoever takes
        over waits longer than that."""
        provider = self._workflow.account(request).provider
        note = f"Cancelled on request of Slack user {request.requester.user}, request {request.short_id}."
        limit = self._deadlines.call.total_seconds()
        if self._elapsed() >= asked_at + limit - min(limit / 2, TIME_TO_SEND):
            return Outcome(Result.NO_EFFECT, "The bot was held up before it could send.", "too_late")
        try:
            with fence.closing_at(asked_at + limit):
                async with asyncio.timeout(asked_at + limit + A_MOMENT - self._elapsed()):
                    return await provider.cancel(reference, note, permit.order)
        except TimeoutError:
            return Outcome(Result.UNKNOWN, f"No answer from {provider.facts.label}.", "deadline")
        finally:
            self._quiet_since[permit.epoch] = self._elapsed()

    async def _write_down(self, request_id: str, answer: RecordAnswer) -> Request:
        """For as long as it takes: the provider says it once, and a look-up may tell less."""
        while True:
            try:
                return await self._workflow.answered(request_id, answer)
            except ChainBroken:
                raise
            except StorageError as problem:
                log.error("answer_not_written_down", request=request_id, why=problem.advice)
                await asyncio.sleep(WRITE_AGAIN)

    async def _follow_up(self, held: Claimed) -> Again:
        """Find out, by reading only, what an accepted or unknown cancel became."""
        request, reference = await self._workflow.load(held.key)
        if request.state not in {State.ACCEPTED, State.UNKNOWN} or not request.permit or reference is None:
            return None
        with about(attempt=request.attempts):
            return await self._look_what_became(held, request, request.permit, reference)

    async def _look_what_became(
        self, held: Claimed, request: Request, permit: Permit, reference: str
    ) -> Again:
        epoch = permit.epoch
        accepted = request.state is State.ACCEPTED
        rested = self._rested(permit)
        if not accepted and rested < self._quarantine(request):
            return self._quarantine(request) - rested
        try:
            provider = self._workflow.account(request).provider
        except CountersignError as gone:
            await self._workflow.record(request.id, CallPerson(epoch, gone.advice))
            return None
        async with provider.turn():
            outcome = await provider.follow_up(reference, Attempt(permit.order, rested, accepted))
        age = self._clock() - permit.at
        after = await self._workflow.record(request.id, RecordFollowUp(epoch, outcome))
        if after.state is not request.state or after.permit != permit:
            self._quiet_since.pop(epoch, None)
            return None  # decided, or scheduled anew under the new state
        horizon = provider.facts.confirm_within if accepted else self._deadlines.reconcile_for
        if outcome.needs_person or age >= horizon:
            await self._workflow.record(request.id, CallPerson(epoch, outcome.said or NEVER_CONFIRMED))
            return None
        return min(agenda.next_look(held.runs, outcome.look_again), max(horizon - age, timedelta(seconds=1)))

    def _rested(self, permit: Permit) -> timedelta:
        """How long it is certain that nobody has been waiting for the answer to this permit's call, by a
        clock that no step, time zone or suspended machine moves. The permit of another process counts
        from when it was first seen here: that process may have taken it a moment before."""
        now = self._elapsed()
        return timedelta(seconds=now - self._quiet_since.setdefault(permit.epoch, now))

    def _quarantine(self, request: Request) -> timedelta:
        settled = request.outcome is not None and request.outcome.settled
        return timedelta(0) if settled else self._deadlines.reconcile_after

    async def _remind(self, held: Claimed) -> Again:
        waiting = await self._workflow.remind(held.key)
        return self._workflow.policy.timing.remind_after * 2**held.runs if waiting else None

    async def _escalate(self, held: Claimed) -> Again:
        """A request that waits for something else by then is escalated when it waits for people again."""
        after = await self._workflow.record(held.key, Escalate())
        if after.escalated or after.state is not State.PENDING or after.escalate_at is None:
            return None
        if self._clock() >= after.expires_at:
            return None
        return max(after.escalate_at - self._clock(), timedelta(seconds=1))  # the clock was set back

    async def _warn(self, held: Claimed) -> Again:
        await self._workflow.warn(held.key)
        return None

    async def _expire(self, held: Claimed) -> Again:
        after = await self._workflow.record(held.key, Expire())
        if after.state not in BEFORE_PERMIT:
            return None
        return max(after.expires_at - self._clock(), timedelta(seconds=1))  # the clock was set back

    async def _remind_of_batch(self, held: Claimed) -> Again:
        waiting = await self._workflow.batches.remind(held.key)
        return self._workflow.policy.timing.remind_after * 2**held.runs if waiting else None

    async def _look_up(self, request: Request, reference: str) -> tuple[OrderState, float]:
        """The order, and from when on it was asked about."""
        provider = self._workflow.account(request).provider
        async with provider.turn():
            began = self._elapsed()
            try:
                async with asyncio.timeout(self._deadlines.call.total_seconds() + 1):
                    return await provider.look_up(reference), began
            except TimeoutError:
                late = f"{provider.facts.label} did not answer in time."
                return OrderState(Standing.UNREADABLE, detail=late), began
