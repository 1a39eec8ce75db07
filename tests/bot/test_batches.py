"""What a batch is made of: the list as it was typed, the digest, and a card that Slack takes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.batch import rules
from bot.batch.rules import Batch, BatchRequested, Typed, batch_digest, read_lines
from bot.blocks import ids
from bot.blocks.batch_card import batch_card
from bot.blocks.batch_details import batch_deny_form, batch_details
from bot.blocks.batch_notices import (
    batch_again,
    batch_asked,
    batch_call,
    batch_decided,
    batch_dm,
    batch_outcome,
    batch_reminder,
    batch_status,
)
from bot.blocks.text import mrkdwn
from bot.commands import Approve
from bot.errors import Refused
from bot.model import Eligibility, Person, Request, State, Verdict, digest
from bot.rules import QUESTIONS_AT_MOST, decide, evolve
from providers.contract import Standing
from tests import manners
from tests.bot.builders import (
    ALICE,
    BOB,
    CAROL,
    CHANNEL,
    NOW,
    TEAM,
    a_request,
    action_ids,
    an_order,
    approved_by,
    check_message,
    check_view,
    concluded,
    longest_facts,
    longest_request,
    requests_in_every_state,
    shown,
    some_facts,
)

SNAPSHOTS = Path(__file__).parent / "snapshots"


def yes(_: Request) -> Verdict:
    return Verdict(BOB, Eligibility.ELIGIBLE, "on the list by name")


def a_batch(lines: list[Request]) -> Batch:
    first = lines[0]
    asked = BatchRequested(
        team=TEAM,
        channel=CHANNEL,
        provider=first.provider,
        account=first.account,
        requester=ALICE,
        reason=first.reason,
        quorum=2,
        approvers=first.approvers,
        expires_at=first.expires_at,
        lines=tuple(line.id for line in lines),
    )
    return Batch("b" * 32, NOW, asked)


def some_lines(count: int) -> list[Request]:
    return [a_request(id=f"{n:032x}", reference=str(1000 + n), batch="b" * 32) for n in range(count)]


def test_a_list_has_one_order_a_line_with_a_reason_behind_a_comma() -> None:
    text = 'Reference,Reason\n\n 17 \n18, "late, and twice"\n19,a,b\r\n'
    assert read_lines(text) == [Typed(3, "17", ""), Typed(4, "18", "late, and twice"), Typed(5, "19", "a, b")]


def test_an_approval_is_of_every_line_as_it_was_shown() -> None:
    lines = some_lines(3)
    batch = a_batch(lines)
    card = batch_digest(batch, lines)
    assert len(rules.approve(batch, lines, BOB, card, "", yes, NOW)) == 3
    changed = [lines[0], lines[1], replace(lines[2], reference_key="another")]
    with pytest.raises(Refused, match="out of date"):
        rules.approve(batch, changed, BOB, card, "", yes, NOW)


def test_nothing_is_approved_while_a_line_is_still_looked_up() -> None:
    lines = some_lines(2)
    batch = a_batch(lines)
    lines[1] = replace(lines[1], state=State.CHECKING, order=None)
    with pytest.raises(Refused, match="still being looked up"):
        rules.approve(batch, lines, BOB, batch_digest(batch, lines), "", yes, NOW)


def test_lines_that_went_on_are_not_touched_by_a_denial_of_the_rest() -> None:
    lines = some_lines(2)
    lines[0] = replace(lines[0], state=State.CANCELLED)
    changes = rules.deny(lines, BOB, "no", yes, NOW)
    assert [line.id for line, _ in changes] == [lines[1].id]


def test_slack_takes_the_card_whatever_became_of_the_lines() -> None:
    facts = some_facts()
    every = [replace(one, id=f"{n:032x}") for n, one in enumerate(requests_in_every_state().values())]
    for lines in (every, [replace(one, state=State.CHECKING) for one in every], some_lines(200)):
        batch = a_batch(lines)
        card = batch_card(batch, lines, facts)
        check_message(card.text, card.blocks)
        check_message("x", batch_dm(batch, lines, facts).blocks)
        assert len(batch_outcome(batch, lines, facts)) <= 3000
        check_view(batch_details(batch, lines, facts, page=1))
        check_view(batch_deny_form(batch, lines, facts))


def test_slack_takes_the_longest_card() -> None:
    lines = [replace(longest_request(), id=f"{n:032x}") for n in range(200)]
    batch, facts = a_batch(lines), longest_facts()
    card = batch_card(batch, lines, facts)
    check_message(card.text, card.blocks)
    check_view(batch_details(batch, lines, facts))
    check_view(batch_deny_form(batch, lines, facts))


def test_details_say_once_what_is_the_same_for_every_order() -> None:
    facts, lines = some_facts(warnings=("money may be lost",)), some_lines(3)
    lines[1] = replace(lines[1], order=an_order(warnings=("it is renewed tomorrow",)))
    view = batch_details(a_batch(lines), lines, facts)
    seen = shown(view["blocks"])
    assert seen.count("Warning: money may be lost.") == 1
    assert seen.count("Warning: it is renewed tomorrow.") == 1
    assert view["title"]["text"] == "Details"
    assert "*Who may approve or deny:*" in seen


def test_details_of_a_list_that_has_ended_tell_how_it_was_before() -> None:
    lines = [replace(line, state=State.CANCELLED) for line in some_lines(2)]
    seen = shown(batch_details(a_batch(lines), lines, some_facts())["blocks"])
    assert "*Outcome:* 2 cancelled." in seen
    assert seen.count("*As it was before:*\n*DigiCert said:*") == 2
    assert "*Who may approve or deny:*" not in seen


def test_the_card_counts_the_approvals_that_all_lines_have() -> None:
    lines = [approved_by(line, BOB) for line in some_lines(2)]
    lines[0] = approved_by(lines[0], CAROL)
    card = batch_card(a_batch(lines), lines, some_facts())
    assert "1 of 2 approvals so far" in card.blocks[0]["text"]["text"]


# --- what people see ---------------------------------------------------------------------------------


def named(n: int, **changes: Any) -> Request:
    order = an_order(facts=(("Common name", f"shop{n}.example"),))
    return a_request(
        **{"id": f"{n:032x}", "reference": str(1000 + n), "batch": "b" * 32, "order": order, **changes}
    )


def became(n: int, state: State, said: str = "", **changes: Any) -> Request:
    """A line that was approved and sent."""
    result = concluded(state, said or "The order is canceled.", **changes)
    return replace(result, id=f"{n:032x}", reference=str(1000 + n), batch="b" * 32)


def cards() -> dict[str, list[Request]]:
    """The lines of a list at each of its stages."""
    waiting = [named(n) for n in range(1, 13)]
    late = an_order(standing=Standing.NOT_CANCELLABLE, status="issued", detail="It has been issued")
    too_late = named(13, state=State.NOT_CANCELLABLE, order=late, ended_at=NOW)
    approved = [approved_by(approved_by(line, BOB), CAROL) for line in waiting]
    going = [replace(line, state=State.APPROVED) for line in approved]
    sent = [became(n, State.CANCELLED) for n in range(1, 6)]
    refused = became(6, State.REFUSED, "The certificate has been issued.")
    unknown = became(7, State.UNKNOWN, "No answer within 30 s (read timeout).", ended_at=None)
    person = replace(unknown, state=State.NEEDS_PERSON)
    denied: dict[str, Any] = {
        "state": State.DENIED,
        "decided_by": BOB,
        "decision": "Half of them are live",
        "ended_at": NOW,
    }
    return {
        "looking up": [named(1), *(named(n, state=State.CHECKING, order=None) for n in (2, 3))],
        "pending": waiting,
        "half way, one left out": [*(approved_by(line, BOB) for line in waiting[:4]), too_late],
        "with reasons of their own": [*waiting[:2], named(3, reason="Its address is wrong")],
        "cancelling": [*sent, *going[5:]],
        "on hold": [replace(line, held="Slack could not be read") for line in going[:3]],
        "some again": [*sent[:2], named(3)],
        "all cancelled": sent,
        "partly failed": [*sent, refused, person],
        "denied": [replace(line, **denied) for line in waiting[:3]],
    }


@pytest.mark.parametrize("stage", cards())
def test_the_card_of_a_list_looks_as_agreed(stage: str) -> None:
    """`UPDATE_SNAPSHOTS=1 pytest tests/bot/test_batches.py` accepts the cards as they are now."""
    lines = cards()[stage]
    card = batch_card(a_batch(lines), lines, some_facts(warnings=("a reissue in progress is dropped",)))
    check_message(card.text, card.blocks)
    assert manners.faults(card.text, card.blocks) == []
    seen = {"text": card.text, "blocks": card.blocks}
    file = SNAPSHOTS / f"batch_{stage.replace(',', '').replace(' ', '_')}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(json.dumps(seen, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert seen == json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("stage", cards())
def test_all_that_is_said_about_a_list_is_said_in_sentences(stage: str) -> None:
    lines, facts = cards()[stage], some_facts()
    batch = a_batch(lines)
    said = [
        batch_asked(batch, facts),
        batch_call(batch, lines, facts),
        batch_again(batch, lines[0], facts),
        batch_reminder(batch, lines, facts),
        batch_reminder(batch, lines, facts, ends=True),
        batch_outcome(batch, lines, facts),
        batch_dm(batch, lines, facts).text,
        batch_status(batch, lines, facts),
    ]
    actions = ("approve", "take back", "deny", "question", "withdraw", "escalate", "expire")
    said += [batch_decided(batch, action, "U0BOB", lines, "Why? Because.") for action in actions]
    found = [manners.faults(text, [{"type": "section", "text": mrkdwn(text)}]) for text in said]
    assert [fault for faults in found for fault in faults] == []


def test_how_far_it_is_is_told_in_the_first_line() -> None:
    lines = cards()["cancelling"]
    card = batch_card(a_batch(lines), lines, some_facts())
    assert "*Cancelling at DigiCert:* 5 of 12 done." in card.blocks[0]["text"]["text"]


def test_nobody_asks_again_for_what_was_cancelled_or_refused() -> None:
    for stage, again in {"all cancelled": False, "partly failed": False, "denied": True}.items():
        lines = cards()[stage]
        card = batch_card(a_batch(lines), lines, some_facts())
        assert (ids.BATCH_ASK_AGAIN in action_ids(card.blocks)) is again, stage


# --- approvals of a list ------------------------------------------------------------------------------


def approve(batch: Batch, lines: list[Request], by: Person) -> list[Request]:
    """The lines after somebody approved the card as it is."""
    changes = rules.approve(batch, lines, by, batch_digest(batch, lines), "", yes_to(by), NOW)
    changed = {line.id: events for line, events in changes}
    for n, line in enumerate(lines):
        for event in changed.get(line.id, []):
            line = evolve(line, event, NOW, line.id)
        lines[n] = line
    return lines


def yes_to(by: Person) -> Callable[[Request], Verdict]:
    return lambda _: Verdict(by, Eligibility.ELIGIBLE, "on the list by name")


def test_approvals_of_two_versions_of_a_list_do_not_add_up() -> None:
    lines = some_lines(3)
    batch = a_batch(lines)
    lines = approve(batch, lines, BOB)
    lines[2] = replace(lines[2], order=an_order(known_as="another.example"), approvals=())
    lines = approve(batch, lines, CAROL)
    assert [line.state for line in lines] == [State.PENDING] * 3
    assert [len(line.counted) for line in lines] == [1, 1, 1]
    card = batch_card(batch, lines, some_facts())
    assert "does not count" in str(card.blocks)
    lines = approve(batch, lines, BOB)
    assert [line.state for line in lines] == [State.APPROVED] * 3
    assert {a.whole for line in lines for a in line.approvals} == {batch_digest(batch, lines)}


def test_an_order_of_a_list_cannot_be_approved_by_itself() -> None:
    line = some_lines(1)[0]
    with pytest.raises(Refused, match="together with others"):
        decide(line, Approve(BOB, digest(line), yes(line)), NOW)
    alone = a_request()
    with pytest.raises(Refused, match="together with others"):
        decide(alone, Approve(BOB, digest(alone), yes(alone), whole="0" * 64), NOW)


def test_the_digest_covers_every_line_also_one_that_is_decided() -> None:
    lines = some_lines(3)
    batch = a_batch(lines)
    before = batch_digest(batch, lines)
    for n, line in enumerate(lines):
        changed = [*lines[:n], replace(line, reason="another"), *lines[n + 1 :]]
        assert batch_digest(batch, changed) != before
    assert batch_digest(batch, [replace(lines[0], state=State.CANCELLED), *lines[1:]]) == before
    assert batch_digest(batch, list(reversed(lines))) != before


def test_a_question_is_asked_once_and_only_by_who_may_approve() -> None:
    lines = some_lines(2)
    asked = rules.question(lines, BOB, "Which shop?", yes, (), NOW)
    assert [one.question for one in asked] == ["Which shop?"]
    assert rules.question(lines, BOB, "Which shop?", yes, asked, NOW) == []
    with pytest.raises(Refused, match="own request"):
        rules.question(lines, ALICE, "Which shop?", yes, (), NOW)
    with pytest.raises(Refused, match="enough questions"):
        rules.question(lines, BOB, "And?", yes, asked * QUESTIONS_AT_MOST, NOW)


@given(st.text("0123456789ab-", min_size=1), st.text(st.characters(codec="utf-8")))
def test_a_line_that_is_asked_for_again_says_the_same(reference: str, reason: str) -> None:
    reason = " ".join(reason.split())
    assert read_lines(rules.write_line(reference, reason)) == [Typed(1, reference, reason)]


def test_a_long_list_fills_the_first_box_and_then_the_second() -> None:
    lines = [str(1000 + n) for n in range(5)]
    assert rules.split_lines(lines, 3000) == ("\n".join(lines), "")
    assert rules.split_lines(lines, 13) == ("1000\n1001", "1002\n1003")
