"""What becomes due, and when a look-up may be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.agenda import PEOPLE, REPEAT_AFTER, Due, Kind, Timing, due, next_look
from bot.events import (
    Answered,
    ApprovalTakenBack,
    Approved,
    ClosingProposed,
    Denied,
    Event,
    FollowedUp,
    Held,
    Interrupted,
    OrderRead,
    PersonCalled,
    QuorumReached,
    Requested,
)
from bot.model import Finding, Permit, Request, State
from bot.rules import evolve
from providers.contract import Outcome, Result
from tests.bot.builders import (
    ALICE,
    BOB,
    CAROL,
    CHANNEL,
    NOW,
    REQUEST_ID,
    TEAM,
    a_request,
    an_order,
    approved,
    approved_by,
    concluded,
    executing,
)

TIMING = Timing(remind_after=timedelta(hours=1), reconcile_after=timedelta(minutes=2))
SENT_AT = NOW + timedelta(minutes=13)
"""When the permit of `executing()` was taken."""
ANSWERED_AT = SENT_AT + timedelta(seconds=30)
SECOND = timedelta(seconds=1)


def work(before: Request | None, *events: Event, now: Any = NOW, timing: Timing = TIMING) -> list[Due]:
    after = before
    for event in events:
        after = evolve(after, event, now, REQUEST_ID)
    assert after is not None
    return due(before, after, events, now, timing)


def test_the_permit_of_the_builders_is_where_these_tests_believe_it() -> None:
    permit = executing().permit
    assert isinstance(permit, Permit)
    assert permit.at == SENT_AT


# --- before a permit ------------------------------------------------------------------------------------


def test_a_new_request_is_looked_up_at_once_and_expires_on_time() -> None:
    expires = NOW + timedelta(hours=24)
    begun = Requested(TEAM, CHANNEL, "digicert", "a", "1", "k", ALICE, "twice", 2, ("S0",), expires)
    assert work(None, begun) == [
        Due(Kind.CHECK, NOW, "digicert"),
        Due(Kind.EXPIRE, expires),
        Due(Kind.WARN, expires - timedelta(hours=2)),
    ]


@pytest.mark.parametrize(
    ("lives", "before"),
    [
        (timedelta(days=7), timedelta(hours=2)),
        (timedelta(hours=3), timedelta(minutes=30)),
        (timedelta(minutes=20), timedelta(minutes=5)),
        (timedelta(minutes=5), None),
        (timedelta(seconds=90), None),
    ],
)
def test_an_end_is_announced_while_there_is_time_to_do_something(
    lives: timedelta, before: timedelta | None
) -> None:
    expires = NOW + lives
    begun = Requested(TEAM, CHANNEL, "digicert", "a", "1", "k", ALICE, "twice", 2, ("S0",), expires)
    announced = [one.at for one in work(None, begun) if one.kind is Kind.WARN]
    assert announced == ([] if before is None else [expires - before])


def test_a_second_line_is_called_when_it_has_waited_long_enough_and_once() -> None:
    at = NOW + timedelta(minutes=20)
    checking = a_request(state=State.CHECKING, order=None, escalation=("U0BOSS",), escalate_at=at)
    assert Due(Kind.ESCALATE, at) in work(checking, OrderRead(an_order()))
    late = at + SECOND
    assert Due(Kind.ESCALATE, late) in work(checking, OrderRead(an_order()), now=late), "not in the past"
    back = approved(escalation=("U0BOSS",), escalate_at=at)
    assert Due(Kind.ESCALATE, at) in work(back, ApprovalTakenBack(BOB))
    called = work(replace(back, escalated=True), ApprovalTakenBack(BOB))
    assert not [one for one in called if one.kind is Kind.ESCALATE]


def test_who_is_asked_is_reminded_later_unless_reminders_are_off() -> None:
    checking = a_request(state=State.CHECKING, order=None)
    assert work(checking, OrderRead(an_order())) == [Due(Kind.REMIND, NOW + timedelta(hours=1))]
    off = Timing(timedelta(0), TIMING.reconcile_after)
    assert work(checking, OrderRead(an_order()), timing=off) == []


@pytest.mark.parametrize(("wanted", "pause"), [(None, 5), (1, 5), (60, 60)])
def test_the_second_attempt_waits_as_long_as_the_provider_asks_for(wanted: int | None, pause: int) -> None:
    asked = None if wanted is None else timedelta(seconds=wanted)
    outcome = Outcome(Result.NO_EFFECT, "Too many requests.", "http_429", look_again=asked)
    (again,) = work(executing(), Answered("e1", outcome), now=ANSWERED_AT)
    assert (again.kind, again.at - ANSWERED_AT) == (Kind.CANCEL, pause * SECOND)


def test_an_approval_that_could_not_be_confirmed_is_verified_at_once() -> None:
    assert work(a_request(), Approved(BOB, "d", False, "")) == [Due(Kind.VERIFY, NOW, PEOPLE)]
    assert work(a_request(), Approved(BOB, "d", True, "")) == []


def test_an_unconfirmed_approval_is_not_forgotten_when_something_else_happens() -> None:
    unsure = approved_by(a_request(), BOB, verified=False)
    assert Due(Kind.VERIFY, NOW, PEOPLE) in work(unsure, Approved(CAROL, "d", True, ""))


def test_enough_approvals_make_the_cancel_due_at_once_in_the_lane_of_its_provider() -> None:
    request = approved_by(a_request(provider="cpanel"), BOB, CAROL)
    assert work(request, QuorumReached()) == [Due(Kind.CANCEL, NOW, "cpanel")]


def test_what_stays_as_it_was_makes_nothing_due() -> None:
    assert work(approved(), Held("Slack could not be read")) == []


@pytest.mark.parametrize("state", [State.CANCELLED, State.REFUSED, State.FAILED, State.CLOSED])
def test_nothing_is_due_once_nothing_can_be_found_out_any_more(state: State) -> None:
    assert due(executing(), concluded(state), [], ANSWERED_AT, TIMING) == []


def test_people_are_reminded_of_what_only_they_can_find_out_unless_reminders_are_off() -> None:
    unknown = concluded(State.UNKNOWN, ended_at=None)
    wanted = [Due(Kind.REMIND, ANSWERED_AT + TIMING.remind_after)]
    assert work(unknown, PersonCalled("24 h"), now=ANSWERED_AT) == wanted
    off = Timing(timedelta(0), TIMING.reconcile_after)
    assert work(unknown, PersonCalled("24 h"), now=ANSWERED_AT, timing=off) == []


def test_what_one_person_found_changes_nothing_about_the_reminders() -> None:
    waiting = concluded(State.NEEDS_PERSON, ended_at=None)
    assert work(waiting, ClosingProposed(BOB, Finding.CANCELLED, "looked", "on the list")) == []


def test_a_denied_request_makes_nothing_due() -> None:
    assert work(a_request(), Denied(BOB, "no")) == []


# --- after a cancel --------------------------------------------------------------------------------------


def looks(*events: Event) -> Sequence[Due]:
    return work(executing(), *events, now=ANSWERED_AT)


@pytest.mark.parametrize(
    "event",
    [Answered("e", Outcome(Result.UNKNOWN, "no answer", look_again=SECOND)), Interrupted("e")],
    ids=["no answer", "interrupted"],
)
@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=9)])
def test_an_unsettled_unknown_is_not_looked_up_before_the_call_can_be_over(
    event: Event, late: timedelta
) -> None:
    (look,) = work(executing(), event, now=ANSWERED_AT + late)
    assert (look.kind, look.lane) == (Kind.FOLLOW_UP, "digicert")
    assert look.at == ANSWERED_AT + late + TIMING.reconcile_after, "counted from when it was given up"


def test_a_complete_answer_that_proves_nothing_is_looked_up_at_once() -> None:
    settled = Outcome(Result.UNKNOWN, "Error 500", settled=True)
    assert looks(Answered("e", settled)) == [Due(Kind.FOLLOW_UP, ANSWERED_AT, "digicert")]


def test_a_provider_whose_habits_are_known_is_given_its_time() -> None:
    wait = timedelta(seconds=30)
    for result in (Result.UNKNOWN, Result.ACCEPTED):
        answer = Outcome(result, settled=True, look_again=wait)
        assert looks(Answered("e", answer)) == [Due(Kind.FOLLOW_UP, ANSWERED_AT + wait, "digicert")]


def test_an_accepted_cancel_is_followed_soon() -> None:
    accepted = Outcome(Result.ACCEPTED, "queued", settled=True)
    assert looks(Answered("e", accepted)) == [Due(Kind.FOLLOW_UP, ANSWERED_AT + 2 * SECOND, "digicert")]


def test_an_unknown_that_turns_out_to_be_accepted_is_followed_on() -> None:
    unknown = concluded(State.UNKNOWN, ended_at=None)
    found = FollowedUp(Outcome(Result.ACCEPTED, "queued", settled=True))
    assert [item.kind for item in work(unknown, found, now=ANSWERED_AT)] == [Kind.FOLLOW_UP]


def test_without_a_permit_or_an_answer_the_whole_quarantine_is_kept() -> None:
    for odd in (concluded(State.UNKNOWN, permit=None), concluded(State.UNKNOWN, outcome=None)):
        (item,) = due(executing(), odd, [], ANSWERED_AT, TIMING)
        assert item.at == ANSWERED_AT + TIMING.reconcile_after


def test_a_cancel_that_provably_did_nothing_is_repeated_after_a_pause() -> None:
    nothing = Outcome(Result.NO_EFFECT, "no connection")
    assert looks(Answered("e", nothing)) == [Due(Kind.CANCEL, ANSWERED_AT + REPEAT_AFTER, "digicert")]


def test_a_repeat_that_needs_new_approvals_asks_for_them() -> None:
    again = approved(attempts=1)
    changed = an_order(facts=(("Product", "another"),))
    assert [item.kind for item in work(again, OrderRead(changed))] == [Kind.REMIND]


# --- how often --------------------------------------------------------------------------------------------


def test_look_ups_become_rarer_up_to_five_minutes() -> None:
    waits = [next_look(runs, None) // SECOND for runs in range(1, 12)]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert next_look(10_000_000, None) == timedelta(minutes=5)


def test_the_habit_of_a_provider_goes_before_our_own() -> None:
    assert next_look(1, timedelta(hours=1)) == timedelta(hours=1)
    assert next_look(9, timedelta(seconds=3)) == timedelta(seconds=3)


def test_a_wait_of_nothing_does_not_become_a_busy_loop() -> None:
    assert next_look(1, timedelta(0)) == timedelta(seconds=2)
