"""What a batch is made of: the list as it was typed, the digest, and a card that Slack takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot import batches
from bot.batches import Batch, BatchRequested, Typed, batch_digest, read_lines
from bot.blocks.batch_card import batch_card
from bot.blocks.batch_details import batch_deny_form, batch_details
from bot.blocks.batch_notices import batch_dm, batch_outcome
from bot.errors import Refused
from bot.model import Eligibility, Request, State, Verdict
from tests.bot.builders import (
    ALICE,
    BOB,
    CAROL,
    CHANNEL,
    NOW,
    TEAM,
    a_request,
    approved_by,
    check_message,
    check_view,
    longest_facts,
    longest_request,
    requests_in_every_state,
    some_facts,
)


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
    assert len(batches.approve(batch, lines, BOB, card, "", yes, NOW)) == 3
    changed = [lines[0], lines[1], replace(lines[2], reference_key="another")]
    with pytest.raises(Refused, match="out of date"):
        batches.approve(batch, changed, BOB, card, "", yes, NOW)


def test_nothing_is_approved_while_a_line_is_still_looked_up() -> None:
    lines = some_lines(2)
    batch = a_batch(lines)
    lines[1] = replace(lines[1], state=State.CHECKING, order=None)
    with pytest.raises(Refused, match="still being looked up"):
        batches.approve(batch, lines, BOB, batch_digest(batch, lines), "", yes, NOW)


def test_lines_that_went_on_are_not_touched_by_a_denial_of_the_rest() -> None:
    lines = some_lines(2)
    lines[0] = replace(lines[0], state=State.CANCELLED)
    changes = batches.deny(lines, BOB, "no", yes, NOW)
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


def test_the_card_counts_the_approvals_that_all_lines_have() -> None:
    lines = [approved_by(line, BOB) for line in some_lines(2)]
    lines[0] = approved_by(lines[0], CAROL)
    card = batch_card(a_batch(lines), lines, some_facts())
    assert "1 of 2 approvals so far" in card.blocks[0]["text"]["text"]
