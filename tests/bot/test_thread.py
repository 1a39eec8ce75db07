"""What the thread of a card says about each thing that happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bot.blocks.thread import thread_line
from bot.blocks.words import word
from bot.events import (
    Answered,
    ApprovalTakenBack,
    ApprovalVerified,
    ApprovalVoided,
    Approved,
    AttemptRefused,
    Closed,
    ClosingProposed,
    Denied,
    Escalated,
    Event,
    Expired,
    FollowedUp,
    Held,
    Interrupted,
    OrderRead,
    Permitted,
    PersonCalled,
    Questioned,
    QuorumReached,
    Requested,
    Withdrawn,
)
from bot.model import Finding, Request, State
from providers.contract import Outcome, Result
from tests.bot.builders import (
    ALICE,
    BOB,
    CAROL,
    HOSTILE,
    NOW,
    a_request,
    an_order,
    approved,
    approved_by,
    check_mrkdwn,
    concluded,
    executing,
    found,
    longest_facts,
    longest_request,
    requests_in_every_state,
    some_facts,
)

REQUESTS = requests_in_every_state()


def say(request: Request, *events: Event, before: Request | None = None) -> str | None:
    return thread_line(events, request, some_facts(), before=before)


def requested() -> Requested:
    r = a_request()
    return Requested(
        r.team,
        r.channel,
        r.provider,
        r.account,
        r.reference,
        r.reference_key,
        r.requester,
        r.reason,
        r.quorum,
        r.approvers,
        r.expires_at,
    )


def test_a_first_approval() -> None:
    request = approved_by(a_request(), BOB)
    assert say(request, Approved(BOB, "d", True, "on the list")) == "<@U0BOB> approved (1 of 2)."


def test_the_last_approval() -> None:
    assert say(approved(), Approved(CAROL, "d", True, "on the list"), QuorumReached()) == (
        "<@U0CAROL> approved (2 of 2).\n"
        "Quorum reached. The order is looked up once more at DigiCert, then cancelled."
    )


def test_an_approval_that_does_not_count_yet() -> None:
    request = approved_by(a_request(), BOB, verified=False)
    assert say(request, Approved(BOB, "d", False, "Slack could not be read")) == (
        "<@U0BOB> approved. It does not count until it is confirmed that they may "
        "(Slack could not be read); 0 of 2 so far."
    )


def test_an_approval_that_counts_after_all() -> None:
    request = approved_by(a_request(), BOB)
    line = say(request, ApprovalVerified(BOB, "on the list"))
    assert line == "The approval of <@U0BOB> is confirmed (1 of 2)."


def test_an_approval_that_counts_no_longer() -> None:
    request = approved_by(a_request(), CAROL)
    assert say(request, ApprovalVoided(BOB, "a guest")) == (
        "The approval of <@U0BOB> no longer counts: a guest. Now 1 of 2. 1 approval still needed."
    )


def test_a_denial_with_its_reason() -> None:
    assert say(REQUESTS["denied"], Denied(BOB, "Customer wants to keep it")) == (
        "<@U0BOB> denied:\n> Customer wants to keep it\nOutcome: *denied*. Nobody can approve it now."
    )


def test_a_withdrawal() -> None:
    assert say(REQUESTS["withdrawn"], Withdrawn(ALICE)) == (
        "Outcome: *withdrawn*. <@U0ALICE> took it back. Nothing was sent to DigiCert."
    )


def test_an_expiry() -> None:
    line = say(REQUESTS["expired"], Expired())
    assert line is not None
    assert line.startswith("Outcome: *expired*. Only 1 of 2 approvals by <!date^")


def test_a_hold() -> None:
    assert say(approved(held="Slack could not be read"), Held("Slack could not be read")) == (
        "On hold: Slack could not be read. Nothing is sent until that is cleared."
    )


def test_a_permit() -> None:
    assert say(executing(), Permitted("e", 1, an_order(), ())) == (
        "Cancelling at DigiCert now (attempt 1). *DigiCert says:* status `pending`."
    )


def test_an_interruption_says_what_is_not_known() -> None:
    line = say(concluded(State.UNKNOWN, "The bot was interrupted."), Interrupted("e"))
    assert line == (
        "Now: *outcome unknown, checking*. It is not known whether DigiCert cancelled the order. "
        "What happened: The bot was interrupted. "
        "The order is being looked up; nothing is sent again until it is known."
    )


def test_a_look_up_that_clears_the_doubt() -> None:
    outcome = Outcome(Result.CANCELLED, "The order is canceled.")
    line = say(concluded(State.CANCELLED, outcome.said), FollowedUp(outcome))
    assert line == "Outcome: *cancelled*. The order is canceled."


def test_an_attempt_without_effect_is_followed_by_another() -> None:
    outcome = Outcome(Result.NO_EFFECT, "No connection could be made.")
    line = say(concluded(State.APPROVED, outcome.said, outcome.result), Answered("e", outcome))
    assert line == (
        "Attempt 1 did not cancel the order, as far as is known. No connection could be made. "
        "The order is looked up once more, then the cancel is tried again."
    )


def test_a_call_for_a_person_mentions_those_who_can_help() -> None:
    line = say(REQUESTS["needs a person"], PersonCalled("No answer within 30 s (read timeout)."))
    assert line is not None
    assert line.startswith("<!subteam^S0ONCALL> <@U0BOB> <@U0CAROL> Now: *needs a person*. ")
    assert "U0ALICE" not in line, "whoever asked cannot close it"
    assert line.count("No answer within 30 s (read timeout).") == 1
    assert "look at the order on DigiCert's own pages" in line


def test_what_somebody_found_is_quoted_and_waits_for_another() -> None:
    event = ClosingProposed(BOB, Finding.CANCELLED, "as quoted", "on the list")
    line = say(REQUESTS["needs a person, one has looked"], event)
    assert line is not None
    assert line.startswith("<@U0BOB> looked at the order and said <!date^")
    assert ": *cancelled at the provider*.\n> The order list of CertCentral shows it as Canceled" in line
    assert line.endswith("Somebody else has to look as well and confirm it on the card.")


def test_a_closing_names_both_people_and_says_whose_word_it_is() -> None:
    line = say(REQUESTS["closed"], Closed(CAROL, Finding.CANCELLED, "d", "on the list"))
    assert line is not None
    assert line.startswith("Outcome: *needs a person, closed*: people found it cancelled at the provider. ")
    assert "<@U0BOB> looked at the order" in line
    assert "<@U0CAROL> confirmed it. This is what people found; DigiCert has not confirmed it" in line


def test_a_changed_order_is_told_as_it_was_and_as_it_is() -> None:
    order = an_order(status="issued")
    line = say(a_request(order=order, version=6), OrderRead(order), before=approved())
    assert line is not None
    assert line.startswith("The order changed at DigiCert since it was approved.\nBefore: ")
    assert "Before: *DigiCert says:* status `pending`." in line
    assert "Now: *DigiCert says:* status `issued`." in line
    assert line.endswith("Please look at the card again and decide anew.")


def test_a_changed_order_is_told_even_when_it_is_not_known_what_it_was() -> None:
    line = say(a_request(version=6), OrderRead(an_order()))
    assert line is not None
    assert "Approvals given before do not count any more." in line


@pytest.mark.parametrize("name", ["not cancellable", "already cancelled, nothing sent"])
def test_a_look_up_that_ends_it(name: str) -> None:
    request = REQUESTS[name]
    line = say(request, OrderRead(an_order()), before=REQUESTS["checking"])
    assert line is not None
    assert line.startswith(f"Outcome: *{word(request.state)}*. ")
    assert line.endswith("Nothing was sent to DigiCert.")


@pytest.mark.parametrize(
    "events",
    [
        (),
        (requested(),),
        (AttemptRefused(BOB, "approve", "own_request"),),
        (OrderRead(an_order()),),
    ],
)
def test_silence_where_nothing_is_to_be_said(events: Sequence[Event]) -> None:
    assert thread_line(events, a_request(), some_facts()) is None
    checking = REQUESTS["checking"]
    assert thread_line(events, a_request(version=9), some_facts(), before=checking) is None


@pytest.mark.parametrize(
    "state",
    [
        State.CANCELLED,
        State.ALREADY_CANCELLED,
        State.ACCEPTED,
        State.REFUSED,
        State.FAILED,
        State.UNKNOWN,
    ],
)
def test_the_thread_says_the_outcome_in_its_one_word(state: State) -> None:
    request = concluded(state, "Something was said.")
    assert request.outcome is not None
    line = say(request, Answered("e", request.outcome))
    assert line is not None
    assert f"*{word(state)}*" in line
    assert "Something was said." in line


def test_an_approval_that_is_taken_back_is_told_with_what_is_needed_now() -> None:
    request = approved_by(a_request(), CAROL)
    assert say(request, ApprovalTakenBack(BOB)) == (
        "<@U0BOB> took the approval back. Now 1 of 2. 1 approval still needed."
    )


def test_whoever_is_called_later_is_told_why_and_what_they_may_do() -> None:
    request = a_request(escalation=("U0BOSS", BOB.user), escalate_at=NOW, escalated=True)
    line = say(approved_by(request, BOB), Escalated())
    assert line is not None
    assert line.startswith(
        "<@U0BOSS> You are called because the request to cancel DigiCert order ID `1042750`"
    )
    assert "still needs 1 approval until" in line
    assert "you may approve or deny it too" in line


def test_a_question_calls_the_requester_and_says_that_the_clock_runs() -> None:
    line = say(a_request(), Questioned(BOB, "Is the renewal for March in it?"))
    assert line is not None
    assert line.startswith(
        "<@U0ALICE>, <@U0BOB> asks:\n> Is the renewal for March in it?\nPlease answer here"
    )
    assert "can still be approved until <!date^" in line


EVENTS = [
    Questioned(BOB, HOSTILE),
    Escalated(),
    ApprovalTakenBack(BOB),
    Approved(BOB, "d", False, HOSTILE),
    ApprovalVoided(BOB, HOSTILE),
    Denied(BOB, HOSTILE),
    OrderRead(an_order(status=HOSTILE, facts=((HOSTILE, HOSTILE),))),
    Held(HOSTILE),
    Permitted("e", 1, an_order(detail=HOSTILE), ()),
    PersonCalled(HOSTILE),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_hostile_text_stays_text(event: Event) -> None:
    line = say(a_request(version=9), event, before=approved())
    assert line is not None
    check_mrkdwn(line)


@pytest.mark.parametrize(
    "event",
    [*EVENTS, Denied(BOB, "&" * 500), Questioned(BOB, "&" * 500), Expired()],
    ids=lambda event: event.kind,
)
def test_the_longest_line_fits_into_a_section(event: Event) -> None:
    longest = longest_request()
    asked = tuple(f"U{n:010}" for n in range(200))
    request = replace(longest, state=State.PENDING, version=9, approvers=asked, escalation=asked)
    if isinstance(event, OrderRead):
        event = OrderRead(longest.order or event.order)
    line = thread_line([event], request, longest_facts(), before=longest)
    assert line is not None
    assert len(line) <= 3000


@pytest.mark.parametrize("evidence", [HOSTILE, "&" * 500, "\u202e" * 500])
@pytest.mark.parametrize("state", [State.NEEDS_PERSON, State.CLOSED])
def test_the_longest_and_most_hostile_evidence_is_text_that_fits(state: State, evidence: str) -> None:
    finding = Finding.NOT_CANCELLED
    closing = found(BOB, finding, evidence=evidence, confirmed_by=CAROL if state is State.CLOSED else None)
    request = concluded(state, "&" * 300, closing=closing)
    for event in (ClosingProposed(BOB, finding, evidence, ""), Closed(CAROL, finding, "d", "")):
        line = thread_line([event], request, longest_facts())
        assert line is not None
        check_mrkdwn(line)
        assert len(line) <= 3000
