"""The simulation finds what it is there for: the product is broken on purpose, and a promise breaks soon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count, islice
from typing import Any
from unittest.mock import patch

import pytest

from bot import agenda, model, rules
from bot.clicks import Click
from bot.commands import Command, RecordAnswer
from bot.events import Event, FollowedUp
from bot.model import Request, State
from bot.outbox import Outbox
from bot.store import Unit
from bot.store.messages import OwedMessage
from bot.store.slots import Claimed
from bot.store.transaction import News
from bot.worker import Worker
from bot.workflow import Workflow
from providers import fence
from providers.contract import Outcome, Result
from tests.simulation.database import Database, on_sqlite
from tests.simulation.play import play
from tests.simulation.schedule import Blow, Change, Effect, Schedule, schedule

WITHIN = 40
"""Schedules in which a bug has to be found, among those in which it could show."""


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with on_sqlite() as database:
        yield database


@dataclass(frozen=True)
class Bug:
    name: str
    broken: Callable[[], Any]
    """Breaks the product as long as it is entered."""
    shows_in: Callable[[Schedule], bool]
    expected: str
    """Part of what is violated."""


# --- the bugs -----------------------------------------------------------------------------------------


@contextmanager
def no_quarantine() -> Iterator[None]:
    with (
        patch.object(Worker, "_quarantine", lambda *_: timedelta(0)),
        patch.object(agenda, "_first_look", lambda _request, now, _timing: now),
    ):
        yield


def no_fence() -> Any:
    return patch.object(fence, "is_closed", lambda: False)


def silence_means_no_effect() -> Any:
    follow_up = rules._follow_up

    def believing(request: Request, outcome: Outcome) -> list[Event]:
        silent = outcome.result is Result.UNKNOWN and request.state is State.UNKNOWN
        return follow_up(request, replace(outcome, result=Result.NO_EFFECT) if silent else outcome)

    return patch.object(rules, "_follow_up", believing)


def not_yet_means_no_effect() -> Any:
    def impatient(request: Request, outcome: Outcome) -> list[Event]:
        waits = request.state in {State.ACCEPTED, State.UNKNOWN} and outcome.result is not Result.UNKNOWN
        return [FollowedUp(replace(outcome, result=Result.NO_EFFECT))] if waits else []

    return patch.object(rules, "_follow_up", impatient)


def sends_again_after_a_crash() -> Any:
    cancel = Worker._cancel

    async def again(self: Worker, held: Claimed) -> timedelta | None:
        request, reference = await self._workflow.load(held.key)
        if request.state is not State.EXECUTING or request.permit is None or reference is None:
            return await cancel(self, held)
        outcome = await self._send(request, reference, request.permit, self._elapsed())
        await self._workflow.record(request.id, RecordAnswer(request.permit.epoch, outcome))
        return None

    return patch.object(Worker, "_cancel", again)


def permit_in_doubt() -> Any:
    return patch.object(rules, "_doubt", lambda *_: "")


def permit_without_a_look() -> Any:
    return patch.object(rules, "_order_stands_in_the_way", lambda *_: [])


def votes_that_overwrite_each_other() -> Any:
    """Read, decide, write, with nothing that notices what was written in between."""

    async def decide(
        self: Workflow,
        request_id: str,
        by: Any,
        action: str,
        command: Callable[[Request], Command],
        click: Click,
    ) -> Request:
        request, _ = await self.load(request_id)

        def save(unit: Unit) -> Request:
            stored = unit.request(request_id)
            assert stored is not None
            events = rules.decide(request, command(request), unit.now)
            return self._save(unit, replace(request, version=stored.version), events)

        return await self._store.write(save)

    return patch.object(Workflow, "_decide", decide)


def delivered_before_it_is_sent() -> Any:
    deliver = Outbox._deliver

    async def careless(self: Outbox, message: OwedMessage) -> None:
        await self._store.write(lambda unit: unit.delivered(message.id))
        await deliver(self, message)

    return patch.object(Outbox, "_deliver", careless)


def forgets_what_was_under_way() -> Any:
    async def recall(self: Outbox) -> None:
        return

    return patch.object(Outbox, "_recall", recall)


def work_that_nobody_hears_of() -> Any:
    """What was saved wakes nobody, so it waits until somebody looks because of something else."""

    def only_claims(unit: Unit) -> News | None:
        claimed = tuple(unit.claimed)
        return News(None, 0, claimed, frozenset(), frozenset()) if claimed else None

    return patch.object(Unit, "news", property(only_claims))


def unknown_is_told_as_failed() -> Any:
    return patch.dict(model.RESULT_STATE, {Result.UNKNOWN: State.FAILED})


# --- where they show -----------------------------------------------------------------------------------


def dies(*effects: Effect) -> Callable[[Schedule], bool]:
    def shows(one: Schedule) -> bool:
        return any(strike.blow is Blow.KILL and strike.effect in effects for strike in one.strikes)

    return shows


def badly_served(one: Schedule) -> bool:
    return one.fates == 1.0 and not (one.asynchronous or one.slack_away)


def silent(one: Schedule) -> bool:
    return one.fates == 1.0 and not one.asynchronous


def asynchronous(one: Schedule) -> bool:
    return one.asynchronous and not one.slack_away


def slack_is_away(one: Schedule) -> bool:
    return bool(one.slack_away)


def stops_before_it_sends(one: Schedule) -> bool:
    return any(
        strike.effect is Effect.CANCEL and strike.blow in {Blow.STOP, Blow.SUSPEND} and strike.seconds > 60
        for strike in one.strikes
    )


def changes(one: Schedule) -> bool:
    return any(change is not Change.ELSEWHERE for _, _, change in one.changes)


def crowded(one: Schedule) -> bool:
    """People click while others' clicks are being saved."""
    return one.delay > 0.1


def told_badly(one: Schedule) -> bool:
    return one.told and one.slack_trouble > 0.1


def told_and_killed(one: Schedule) -> bool:
    return one.told and dies(Effect.CALLED)(one) and not (one.slack_trouble or one.slack_away)


BUGS = (
    Bug("no quarantine", no_quarantine, badly_served, "sends again"),
    Bug("no fence", no_fence, stops_before_it_sends, "is sent"),
    Bug("silence means no effect", silence_means_no_effect, silent, "cancelled the order"),
    Bug("not yet means no effect", not_yet_means_no_effect, asynchronous, "sends again"),
    Bug("sends again after a crash", sends_again_after_a_crash, dies(Effect.SENT), "without a permit"),
    Bug("permit in doubt", permit_in_doubt, slack_is_away, "a permit is taken with"),
    Bug("permit without a look", permit_without_a_look, changes, "another order"),
    Bug("votes overwrite each other", votes_that_overwrite_each_other, crowded, ""),
    Bug("delivered before it is sent", delivered_before_it_is_sent, told_badly, "posted"),
    Bug("forgets what was under way", forgets_what_was_under_way, told_and_killed, "without need"),
    Bug("work that nobody hears of", work_that_nobody_hears_of, lambda one: one.is_calm, "s late"),
    Bug("unknown is told as failed", unknown_is_told_as_failed, badly_served, "the order"),
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_broken_product_is_found_out(bug: Bug, database: Database) -> None:
    found = []
    fitting = (one for one in map(schedule, count()) if bug.shows_in(one))
    with bug.broken():
        for one in islice(fitting, WITHIN):
            found += play(one, database).violations
            if found:
                break
    assert any(bug.expected in what for what in found), found
