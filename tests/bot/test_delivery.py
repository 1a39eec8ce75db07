"""A message that Slack may have taken already is looked for before it is posted again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.events import Denied, Held
from bot.store.chain import Head
from tests.bot.office import ALICE, BOB, CHANNEL, Office, open_office
from tests.bot.stores import opened
from tests.gateway import Answer

LOOKS = ("conversations.history", "conversations.replies")


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(tmp_path, with_gateway=True) as office:
        yield office


def looks(office: Office) -> int:
    return sum(method in LOOKS for method in office.gateway.arrived)


# --- an answer that was lost --------------------------------------------------------------------------


async def test_a_reply_whose_answer_was_lost_is_not_posted_twice(office: Office) -> None:
    async with office.delivering():
        await office.begin()
        await office.delivered()
        office.workspace.fail_next("chat.postMessage", "lose_answer")
        await office.happen("r1", Held("said once"))
        await office.happen("r1", Held("and then this"))
        await office.settled()
        office.later()
        await office.delivered()
    (card,) = office.cards
    told = [reply.text for reply in card.thread]
    assert [text for text in told if "said once" in text] == [told[-2]]
    assert "and then this" in told[-1]


async def test_a_card_whose_answer_was_lost_is_found_and_kept_up(office: Office) -> None:
    office.workspace.fail_next("chat.postMessage", "lose_answer")
    async with office.delivering():
        await office.begin_and_approve()
        await office.settled()
        await office.happen("r1", Held("what happened meanwhile"))
        office.later()
        await office.delivered()
        (card,) = office.cards
        assert "what happened meanwhile" in card.readable
        assert office.told("what happened meanwhile") != []
        await office.happen("r1", Held("what happened after that"))
        await office.delivered()
    (card,) = office.cards
    assert "what happened after that" in card.readable


@pytest.mark.parametrize(
    "answer",
    [
        Answer(503, b"<html>Service unavailable</html>", "text/html"),
        Answer(500, b"", "text/plain"),
        Answer(502, b'{"ok": false'),
        Answer(200, b"<html>Log in</html>", "text/html"),
        Answer(200, b"", "application/json"),
        Answer(200, b'{"ok": tr'),
        Answer(200, b"[1, 2]"),
        Answer(200, b'{"ok": true}'),
        Answer(200, b'{"ok": false, "error": "internal_error"}'),
        Answer(200, b'{"ok": false, "error": "fatal_error"}'),
        Answer(200, b'{"ok": false, "error": "an_error_of_next_year"}'),
        Answer(307, b"", headers={"Location": "http://127.0.0.1:9/"}),
    ],
    ids=lambda answer: f"{answer.status}-{answer.body.decode()[:60]}",
)
async def test_whatever_came_back_instead_of_an_answer_nothing_is_posted_twice(
    office: Office, answer: Answer
) -> None:
    """Slack itself says of its internal errors that part of the work may have been done."""
    carried_out = Answer(answer.status, answer.body, answer.content_type, answer.headers, passed_on=True)
    office.gateway.answer_next("chat.postMessage", carried_out)
    async with office.delivering():
        await office.begin()
        await office.settled()
        office.gateway.answer_next("chat.postMessage", carried_out)
        office.later()
        await office.settled()
        office.later()
        await office.delivered()
    (card,) = office.cards
    assert len({reply.text for reply in card.thread}) == len(card.thread)
    assert card.thread != []


async def test_what_did_not_get_there_is_looked_for_in_vain_and_posted(office: Office) -> None:
    office.workspace.fail_next("chat.postMessage", "drop")
    async with office.delivering():
        await office.begin()
        await office.settled()
        office.later()
        await office.delivered()
    assert len(office.cards) == 1
    assert looks(office) > 0


@pytest.mark.parametrize("code", ["ratelimited", "not_in_channel", "token_revoked", "restricted_action"])
async def test_after_a_refusal_nobody_needs_to_look(office: Office, code: str) -> None:
    async with office.delivering():
        await office.begin()
        await office.delivered()
        office.workspace.fail_next("chat.postMessage", code)
        await office.happen("r1", Held("refused at first"))
        await office.settled()
        office.later()
        await office.delivered()
    assert len(office.told("refused at first")) == 1
    assert looks(office) == 0


async def test_a_direct_message_whose_answer_was_lost_comes_twice(office: Office) -> None:
    """The bot may not read them: that would be one permission more, for all that people write to it."""
    async with office.delivering():
        await office.begin()
        await office.delivered()
        channel = office.workspace.dm(ALICE.user)
        office.gateway.answer_next("chat.postMessage", Answer(503, passed_on=True), times=2)
        await office.happen("r1", Denied(BOB, "no"))
        await office.settled()
        office.later()
        await office.delivered()
    assert len(office.told("denied")) == 1
    assert len(channel.messages) == 2
    assert channel.messages[0].text == channel.messages[1].text


# --- a process that ended ---------------------------------------------------------------------------


async def test_a_restart_remembers_that_an_answer_was_lost(office: Office) -> None:
    office.workspace.fail_next("chat.postMessage", "lose_answer")
    async with office.delivering():
        await office.begin()
        await office.settled()
    office.new_outbox()
    office.later()
    async with office.delivering():
        await office.delivered()
    assert len(office.cards) == 1


@pytest.mark.parametrize("what", ["card", "reply"])
async def test_what_slack_took_before_the_process_died_is_not_posted_again(office: Office, what: str) -> None:
    if what == "reply":
        async with office.delivering():
            await office.begin_and_approve()
            await office.delivered()
    office.gateway.hold_next("chat.postMessage")
    running = asyncio.create_task(office.outbox.run())
    await (office.begin_and_approve() if what == "card" else office.happen("r1", Held("this very reason")))
    await office.gateway.holding.get()
    running.cancel()
    await office.outbox.drain(0)
    office.gateway.release()
    office.new_outbox()
    async with office.delivering():
        await office.delivered()
        await office.happen("r1", Held("afterwards"))
        await office.delivered()
    (card,) = office.cards
    assert "afterwards" in card.readable
    assert len(office.told("this very reason")) == (what == "reply")
    assert len({reply.text for reply in card.thread}) == len(card.thread)


async def test_after_a_restart_only_what_may_have_been_under_way_is_looked_for(office: Office) -> None:
    await office.begin_and_approve()
    for number in range(10):
        await office.happen("r1", Held(f"reason {number}"))
    async with office.delivering():
        await office.delivered()
    assert len(office.cards[0].thread) > 10
    assert looks(office) == 1


async def test_a_message_from_another_database_is_not_taken_for_ours(office: Office, tmp_path: Path) -> None:
    """Each counts its messages from one, and a restored one counts the same numbers again."""
    async with office.delivering():
        await office.begin()
        await office.delivered()
    office.clock.advance(timedelta(seconds=1))
    with opened(tmp_path / "other.db", office.clock) as store:
        other = Office(store, office.clock, office.workspace, office.slack)
        await other.begin("r2")
        async with other.delivering():
            await other.delivered()
    assert looks(office) == 1
    assert ["Request r1" in card.readable for card in office.cards] == [True, False]
    assert "Request r2" in office.cards[1].readable


async def test_a_message_of_somebody_else_is_not_taken_for_ours(office: Office) -> None:
    await office.begin()
    (owed, *_) = await office.waiting()
    mark = f"{owed.id}-{owed.created_at.timestamp():.6f}"
    metadata = {"event_type": "order_cancellation_note", "event_payload": {"message": mark}}
    office.workspace.post(office.workspace.channel(CHANNEL), BOB.user, "not this", metadata=metadata)
    async with office.delivering():
        await office.delivered()
    assert looks(office) == 1
    (card,) = [message for message in office.cards if message.text != "not this"]
    assert "123" in card.readable


# --- when nobody can look ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["missing_scope", "thread_not_found", "channel_not_found"])
async def test_without_the_right_to_read_there_is_one_recognisable_duplicate(
    office: Office, code: str
) -> None:
    for look in LOOKS:
        office.workspace.fail_next(look, code, times=10)
    async with office.delivering():
        await office.begin()
        await office.delivered()
        office.workspace.fail_next("chat.postMessage", "lose_answer")
        await office.happen("r1", Held("once or twice"))
        await office.settled()
        office.later()
        await office.delivered()
    first, second = office.told("once or twice")
    assert first.metadata == second.metadata
    assert first.metadata is not None
    assert office.outbox.problem == ""


async def test_as_long_as_looking_is_limited_nothing_is_posted_unseen(office: Office) -> None:
    async with office.delivering():
        await office.begin()
        await office.delivered()
        office.workspace.fail_next("chat.postMessage", "lose_answer")
        office.workspace.fail_next("conversations.replies", "ratelimited", retry_after=30, times=5)
        await office.happen("r1", Held("said once"))
        await office.settled()
        for _ in range(5):
            office.later()
            await office.settled()
        office.later()
        await office.delivered()
    assert len(office.told("said once")) == 1


async def test_a_look_that_fails_for_good_does_not_hold_the_request_back_for_ever(office: Office) -> None:
    async with office.delivering():
        await office.begin()
        await office.delivered()
        office.workspace.fail_next("chat.postMessage", "lose_answer")
        office.workspace.fail_next("conversations.replies", "internal_error", times=100)
        await office.happen("r1", Held("once or twice"))
        await office.settled()
        for _ in range(3):
            assert len(office.told("once or twice")) == 1
            office.later()
            await office.settled()
        await office.delivered()
    assert len(office.told("once or twice")) == 2


async def test_while_the_connection_is_lost_nothing_is_posted_unseen(office: Office) -> None:
    async with office.delivering():
        await office.begin()
        await office.delivered()
        office.workspace.fail_next("chat.postMessage", "lose_answer")
        office.workspace.fail_next("conversations.replies", "drop", times=6)
        await office.happen("r1", Held("said once"))
        await office.settled()
        for _ in range(6):
            office.later()
            await office.settled()
        office.later()
        await office.delivered()
    assert len(office.told("said once")) == 1


# --- what an auditor finds in the channel -----------------------------------------------------------


async def test_the_outcome_in_the_channel_carries_the_head_of_the_history(office: Office) -> None:
    async with office.delivering():
        await office.begin_and_approve()
        await office.delivered()
        (card,) = office.cards
        assert {kind(message) for message in (card, *card.thread)} == {"order_cancellation_note"}
        await office.happen("r1", Denied(BOB, "no"))
        await office.delivered()
    (card,) = office.cards
    *_, outcome = card.thread
    assert [kind(reply) for reply in card.thread].count("order_cancellation") == 1
    for message in (card, outcome):
        assert kind(message) == "order_cancellation"
        assert message.metadata is not None
        payload: dict[str, Any] = message.metadata["event_payload"]
        assert (payload["request_id"], payload["state"]) == ("r1", "denied")
        seq, _, digest_of_it = payload["audit_head"].partition(":")
        head = Head(int(seq), digest_of_it)
        assert await office.store.read(lambda unit, head=head: unit.verify(head)) == head  # type: ignore[misc]


async def test_every_post_has_a_mark_of_its_own(office: Office) -> None:
    async with office.delivering():
        await office.begin("r1")
        await office.begin("r2")
        await office.happen("r1", Denied(BOB, "no"))
        await office.delivered()
    every = [message for card in office.cards for message in card.thread]
    marks = [message.metadata["event_payload"]["message"] for message in every if message.metadata]
    assert len(set(marks)) == len(every)


def kind(message: Any) -> str:
    return str(message.metadata["event_type"])


# --- an odd clock -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [timedelta(minutes=-5), timedelta(minutes=5)])
async def test_slacks_clock_may_differ_from_ours(office: Office, ahead: timedelta) -> None:
    office.workspace.clock = lambda: (office.clock() + ahead).timestamp()
    office.workspace.fail_next("chat.postMessage", "lose_answer")
    async with office.delivering():
        await office.begin()
        await office.settled()
        office.later(timedelta(seconds=5))
        await office.delivered()
    assert len(office.cards) == 1
