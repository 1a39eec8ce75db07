"""What is owed to Slack is delivered, in order, however long Slack is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import announce, outbox
from bot.errors import StorageError
from bot.events import Denied, Held
from bot.outbox import SlackPace
from sandbox.slack.model import Message
from tests.bot.builders import NOW
from tests.bot.office import ALICE, BOB, CAROL, CHANNEL, MINUTE, Office, open_office, owe
from tests.gateway import Answer


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(tmp_path) as office:
        yield office


# --- order ------------------------------------------------------------------------------------------------


async def test_what_happened_to_a_request_is_told_in_the_order_in_which_it_happened(office: Office) -> None:
    async with office.delivering():
        await office.begin()
        for number in range(20):
            await office.happen("r1", Held(f"reason number {number}"))
        await office.delivered()
    (card,) = office.cards
    told = [reply.text for reply in card.thread if "reason number" in reply.text]
    assert [text.split("reason number ")[1].split()[0].rstrip(".") for text in told] == [
        str(number) for number in range(20)
    ]


async def test_every_request_has_one_card_of_its_own_and_its_replies_are_below_it(office: Office) -> None:
    async with office.delivering():
        for request_id in ("r1", "r2", "r3"):
            await office.begin(request_id)
            await office.happen(request_id, Held(f"because of {request_id}"))
        await office.delivered()
    assert len(office.cards) == 3
    for card in office.cards:
        (reason,) = [reply.text for reply in card.thread if "because of" in reply.text]
        assert reason.split("because of ")[1][:2] in card.readable


async def test_what_happens_to_a_request_in_a_moment_is_one_painting_of_its_card(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "HOLD_BACK", 0.5)
    async with office.delivering():
        await office.begin_and_approve()
        await office.delivered()
        painted = len(office.calls("chat.update"))
        for number in range(3):
            await office.happen("r1", Held(f"reason {number}"))
        await office.delivered()
    assert len(office.calls("chat.update")) == painted + 1
    assert "reason 2" in office.cards[0].readable
    assert len(office.told("reason")) == 3


async def test_what_somebody_waits_for_goes_out_at_once_and_hurries_nothing_else(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office.delivering():
        await office.begin_and_approve()
        await office.delivered()
        monkeypatch.setattr(outbox, "HOLD_BACK", 3600.0)
        await office.happen("r1", Held("nobody waits to hear this"))
        await office.store.write(lambda unit: owe(unit, [announce.home(CAROL)]))
        for number in range(3):
            await office.whisper(BOB, f"answer {number}")
            await office.until(lambda unit: all(one.kind != "whisper" for one in unit.owed()))
    assert len(office.calls("chat.postEphemeral")) == 3
    assert {one.lane for one in await office.waiting()} == {"r1", "home:U0CAROL"}


async def test_a_request_slack_will_not_take_does_not_hold_back_others(office: Office) -> None:
    await office.begin("r1")
    office.workspace.fail_next("chat.postMessage", "internal_error")
    async with office.delivering():
        await office.settled()
        await office.begin("r2")
        await office.until(lambda unit: [message.lane for message in unit.owed()] == ["r1"])
    (card,) = office.cards
    assert "Request r2" in card.readable


async def test_what_comes_into_a_lane_while_its_last_message_is_under_way_is_delivered_after_it(
    office: Office,
) -> None:
    """Although the outbox looks into other lanes meanwhile, and its task into none any more."""
    async with office.delivering():
        office.workspace.fail_next("chat.postEphemeral", "hang")
        await office.whisper(BOB, "the last one")
        await office.workspace.wait_until(lambda: office.workspace.faults.hanging)
        await office.whisper(BOB, "one more")
        await office.whisper(CAROL, "somewhere else")
        await office.until(lambda unit: [one.lane for one in unit.owed()] == ["whisper:U0BOB"])
        office.workspace.release()
        await office.delivered()
    said = [message.text for message in office.workspace.channel(CHANNEL).ephemerals]
    assert said == ["somewhere else", "the last one", "one more"]


async def test_the_last_message_of_a_lane_is_tried_again_when_its_time_has_come_and_nobody_tells(
    office: Office,
) -> None:
    office.workspace.fail_next("chat.postEphemeral", "internal_error")
    async with office.delivering():
        await office.whisper(BOB, "at the second try")
        await office.until(lambda unit: unit.owed()[0].tries == 1)
        office.clock.advance(timedelta(seconds=2))
        await office.delivered(within=5)
    assert [message.text for message in office.workspace.channel(CHANNEL).ephemerals] == ["at the second try"]


async def test_a_card_whose_place_a_click_told_meanwhile_is_not_posted_again(office: Office) -> None:
    """Slack took it and the answer was lost, and what is in the channel may not be looked at. A click that is
    refused tells where the card is, and owes nothing behind it."""
    office.workspace.fail_next("chat.postMessage", "lose_answer")
    office.workspace.fail_next("conversations.history", "missing_scope", times=9)
    async with office.delivering():
        await office.begin()
        await office.until(lambda unit: any(message.tries for message in unit.owed()))
        (card,) = office.cards
        await office.store.write(lambda unit: unit.set_card("r1", CHANNEL, card.ts))
        office.clock.advance(timedelta(seconds=2))
        await office.delivered(within=5)
    assert len(office.cards) == 1


# --- outages ----------------------------------------------------------------------------------------------


async def test_ten_changes_before_the_card_was_ever_posted_are_one_post(office: Office) -> None:
    office.workspace.outage()
    async with office.delivering():
        await office.begin_and_approve()
        for number in range(10):
            await office.happen("r1", Held(f"reason {number}"))
        await office.settled()
        office.workspace.outage(False)
        office.workspace.calls.clear()
        office.later()
        await office.delivered()
    (card,) = office.cards
    assert office.calls("chat.update") == []
    assert len(office.calls("chat.postMessage")) == 1 + len(card.thread)
    assert "reason 9" in card.readable
    assert "reason 8" not in card.readable


async def test_ten_changes_while_slack_is_away_are_one_update(office: Office) -> None:
    async with office.delivering():
        await office.begin_and_approve()
        await office.delivered()
        office.workspace.outage()
        for number in range(10):
            await office.happen("r1", Held(f"reason {number}"))
        await office.settled()
        office.workspace.outage(False)
        office.workspace.calls.clear()
        office.later()
        await office.delivered()
    (card,) = office.cards
    assert office.calls("chat.update") == [True]
    assert "reason 9" in card.readable
    assert sum("reason" in reply.text for reply in card.thread) == 10


async def test_an_outage_and_a_restart_lose_nothing_and_repeat_nothing(office: Office) -> None:
    office.workspace.outage()
    async with office.delivering():
        for number in range(5):
            await office.begin(f"r{number}")
            await office.happen(f"r{number}", Denied(BOB, f"no {number}"))
        await office.settled()
    office.new_outbox()
    office.later(timedelta(hours=72))
    async with office.delivering():
        await office.settled()
        assert office.cards == []
        office.workspace.outage(False)
        office.later(timedelta(hours=1))
        await office.delivered()
    assert sorted(_reason(card) for card in office.cards) == [f"no {number}" for number in range(5)]
    assert [len([r for r in card.thread if "denied" in r.text.lower()]) for card in office.cards] == [1] * 5
    assert len(office.workspace.dm(ALICE.user).messages) == 5


def _reason(card: Message) -> str:
    return next(f"no {number}" for number in range(5) if f"no {number}" in card.readable)


ODD = [
    Answer(500, b"<html>Oops</html>", "text/html"),
    Answer(503, b"", "text/plain"),
    Answer(200, b"<html>Log in</html>", "text/html"),
    Answer(200),
    Answer(200, b"{"),
    Answer(200, b'{"ok": false}'),
    Answer(200, b'{"ok": false, "error": "internal_error"}'),
    Answer(200, b'{"ok": false, "error": "fatal_error"}'),
    Answer(200, b'{"ok": false, "error": "service_unavailable"}'),
    Answer(200, b'{"ok": false, "error": "' + b"x" * 5000 + b'"}'),
]


@pytest.mark.parametrize("answer", ODD, ids=lambda answer: f"{answer.status}-{answer.body.decode()[:40]}")
@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update", "chat.postEphemeral"])
async def test_what_may_pass_is_tried_again_with_growing_pauses(
    tmp_path: Path, answer: Answer, method: str
) -> None:
    async with open_office(tmp_path, with_gateway=True) as office:
        await office.begin()
        if method != "chat.postMessage":
            async with office.delivering():
                await office.delivered()
        office.gateway.arrived.clear()
        office.gateway.answer_next(method, answer, times=4)
        async with office.delivering():
            if method == "chat.update":
                await office.happen("r1", Held("why"))
            if method == "chat.postEphemeral":
                await office.whisper(BOB, "in the end")
            for tries, wait in enumerate((1, 2, 4, 8), start=1):
                await office.settled()
                (message,) = await office.waiting()
                assert wait <= (message.due - office.clock()).total_seconds() <= wait * 1.25
                assert office.gateway.arrived.count(method) == tries
                office.later(message.due - office.clock())
            await office.delivered()
        assert office.outbox.problem == ""


async def test_pauses_differ_so_that_not_everything_is_tried_at_once(office: Office) -> None:
    office.workspace.outage()
    async with office.delivering():
        for number in range(8):
            await office.begin(f"r{number}")
        await office.settled()
        assert len({message.due for message in await office.waiting()}) == 8


async def test_an_outage_of_days_is_a_call_a_minute_for_each_request_and_no_more(office: Office) -> None:
    office.workspace.outage()
    async with office.delivering():
        for number in range(3):
            await office.begin(f"r{number}")
        for _ in range(8):
            await office.settled()
            office.later()
        await office.settled()
        before = len(office.workspace.calls)
        for _ in range(20):
            office.later()
            await office.settled()
        calls = [call.method for call in office.workspace.calls[before:]]
        assert len(calls) <= 3 * 20
        office.workspace.outage(False)
        office.later(2 * MINUTE)
        await office.delivered()
    assert len(office.cards) == 3


async def test_a_clock_that_is_set_back_holds_nothing_back(office: Office) -> None:
    office.workspace.outage()
    async with office.delivering():
        await office.begin("r1")
        await office.settled()
        office.later(timedelta(hours=-25))
        await office.until(lambda unit: unit.owed()[0].tries == 2)
        office.workspace.outage(False)
        office.later()
        await office.delivered()
    assert len(office.cards) == 1


async def test_tries_become_rarer_up_to_the_longest_wait(office: Office) -> None:
    office.workspace.outage()
    waits: list[float] = []
    async with office.delivering():
        await office.whisper(BOB, "unheard")
        for tries in range(1, 10):
            await office.until(lambda unit, tries=tries: unit.owed()[0].tries == tries)  # type: ignore[misc]
            (message,) = await office.waiting()
            waits.append((message.due - office.clock()).total_seconds())
            office.later(message.due - office.clock())
            if office.clock() - NOW > 9 * MINUTE:
                break
    for wait, least in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60], strict=False):
        assert least <= wait <= least * 1.25
    assert len(waits) >= 7


# --- rate limits ------------------------------------------------------------------------------------------


async def test_a_rate_limit_is_waited_for_as_long_as_slack_says(office: Office) -> None:
    await office.begin()
    office.workspace.fail_next("chat.postMessage", "ratelimited", retry_after=7)
    async with office.delivering():
        await office.settled()
        (message,) = await office.waiting()
        assert (message.due, message.problem) == (NOW + timedelta(seconds=7), "ratelimited")
        office.later(timedelta(seconds=6.9))
        await office.whisper(BOB, "delivered by an outbox that has looked at everything")
        await office.until(lambda unit: len(unit.owed()) == 1)
        assert office.cards == []
        office.later(timedelta(seconds=0.1))
        await office.delivered()
    assert len(office.cards) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "1"}, 1),
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": "3600"}, 3600),
        ({"Retry-After": "86400"}, 3600),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "-5"}, 60),
        ({"Retry-After": "soon"}, 60),
        ({"Retry-After": "9" * 5000}, 60),
        ({"Retry-After": "Sat, 21 Nov 2026 04:00:00 GMT"}, 60),
        ({"Retry-After": ""}, 60),
        ({}, 60),
    ],
    ids=lambda given: str(given)[:50],
)
async def test_a_rate_limit_is_between_a_second_and_an_hour_and_a_minute_where_slack_does_not_say(
    tmp_path: Path, headers: dict[str, str], seconds: int
) -> None:
    limited = Answer(429, b'{"ok": false, "error": "ratelimited"}', headers=headers)
    await _is_waited_for(tmp_path, limited, seconds)


@pytest.mark.parametrize("body", [b"<html>Too many</html>", b"", b"{", b"[]"])
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
async def test_a_rate_limit_is_one_whatever_else_the_answer_says(
    tmp_path: Path, body: bytes, content_type: str
) -> None:
    await _is_waited_for(tmp_path, Answer(429, body, content_type, {"Retry-After": "30"}), 30)


async def _is_waited_for(folder: Path, limited: Answer, seconds: int) -> None:
    async with open_office(folder, with_gateway=True) as office, office.delivering():
        office.gateway.answer_next("chat.postMessage", limited)
        await office.whisper(CAROL, "at last", channel="")
        await office.settled()
        (message,) = await office.waiting()
        assert (message.due, message.problem) == (NOW + timedelta(seconds=seconds), "ratelimited")
        office.later(timedelta(seconds=seconds))
        await office.delivered()
        assert len(office.workspace.dm(CAROL.user).messages) == 1


async def test_a_channel_that_is_limited_is_left_alone_and_everything_else_goes_on(office: Office) -> None:
    office.workspace.fail_next("chat.postMessage", "ratelimited", retry_after=3600)
    async with office.delivering():
        await office.begin("r1")
        await office.settled()
        for number in range(2, 8):
            await office.begin(f"r{number}")
        await office.begin("elsewhere", channel="C0ORDERS")
        await office.happen("elsewhere", Denied(BOB, "no"))
        await office.whisper(CAROL, "over here")
        waiting = {f"r{number}" for number in range(1, 8)}
        await office.until(lambda unit: {message.lane for message in unit.owed()} == waiting)
        office.later(timedelta(minutes=59))
        await office.whisper(CAROL, "and here")
        await office.until(lambda unit: {message.lane for message in unit.owed()} == waiting)
        assert office.posts_to(CHANNEL) == [False]
        assert len(office.workspace.dm(ALICE.user).messages) == 1
        office.later(MINUTE)
        await office.delivered()
    assert len(office.cards) == 7
    assert office.posts_to(CHANNEL).count(False) == 1


async def test_while_cards_may_not_be_changed_new_ones_and_direct_messages_go_out(office: Office) -> None:
    async with office.delivering():
        for request_id in ("r1", "r2"):
            await office.begin(request_id)
        await office.delivered()
        office.workspace.calls.clear()
        office.workspace.fail_next("chat.update", "ratelimited", retry_after=30)
        await office.happen("r1", Denied(BOB, "no"))
        await office.until(lambda unit: [message.lane for message in unit.owed()] == ["r1"])
        await office.happen("r2", Denied(BOB, "no"))
        await office.begin("r3")
        await office.workspace.wait_until(lambda: len(office.cards) == 3)
        await office.until(lambda unit: "direct:U0ALICE" not in {message.lane for message in unit.owed()})
        assert office.calls("chat.update") == [False]
        office.later(timedelta(seconds=30))
        await office.delivered()
    assert office.calls("chat.update").count(False) == 1
    assert ["denied" in card.readable.lower() for card in office.cards] == [True, True, False]


# --- messages Slack does not take --------------------------------------------------------------------------


async def test_a_deleted_card_is_posted_anew_and_kept_up_from_then_on(office: Office) -> None:
    async with office.delivering():
        await office.begin_and_approve()
        await office.delivered()
        (old,) = office.cards
        office.workspace.delete_message(old)
        await office.happen("r1", Held("the first change"))
        await office.delivered()
        await office.happen("r1", Held("the second change"))
        await office.delivered()
    (new,) = [card for card in office.cards if not card.deleted]
    assert new.ts != old.ts
    assert "the second change" in new.readable
    assert [reply.text for reply in new.thread if "change" in reply.text] != []
    card = await office.store.read(lambda unit: unit.card("r1"))
    assert card is not None
    assert card.ts == new.ts


@pytest.mark.parametrize("code", ["message_not_found", "cant_update_message", "edit_window_closed"])
async def test_a_card_that_cannot_be_changed_any_more_is_posted_anew(office: Office, code: str) -> None:
    async with office.delivering():
        await office.begin_and_approve()
        await office.delivered()
        office.workspace.fail_next("chat.update", code)
        await office.happen("r1", Denied(BOB, "no"))
        await office.delivered()
    old, new = office.cards
    assert "denied" in new.readable.lower()
    assert [reply for reply in old.thread if "denied" in reply.text.lower()] == []
    assert [reply for reply in new.thread if "denied" in reply.text.lower()] != []


async def test_a_card_that_is_posted_anew_is_posted_once_whatever_happens_to_the_answer(
    office: Office,
) -> None:
    async with office.delivering():
        await office.begin_and_approve()
        await office.delivered()
        (old,) = office.cards
        office.workspace.delete_message(old)
        office.workspace.fail_next("chat.postMessage", "lose_answer")
        await office.happen("r1", Denied(BOB, "no"))
        await office.settled()
        office.later()
        await office.delivered()
    (new,) = [card for card in office.cards if not card.deleted]
    assert "denied" in new.readable.lower()


@pytest.mark.parametrize(
    "code", ["invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"]
)
@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
async def test_a_card_that_slack_refuses_as_it_is_is_shown_plainly(
    office: Office, code: str, method: str
) -> None:
    await office.begin()
    if method == "chat.update":
        async with office.delivering():
            await office.delivered()
        await office.happen("r1", Denied(BOB, "no"))
    office.workspace.fail_next(method, code)
    async with office.delivering():
        await office.delivered()
    (card,) = office.cards
    assert card.buttons == []
    assert "123" in card.readable
    assert [block["type"] for block in card.blocks] == ["section"]


async def test_a_text_that_is_too_long_for_slack_is_cut(office: Office) -> None:
    """Not by us, so the limit may change: what is left fits everywhere."""
    text = "very " * 2000 + "long"
    body = announce._body(text=text, blocks=[])
    owed = announce.Owed("direct:U0BOB", announce.Kind.DIRECT, None, BOB.user, body)
    office.workspace.fail_next("chat.postMessage", "msg_too_long")
    async with office.delivering():
        await office.store.write(lambda unit: owe(unit, [owed]))
        await office.delivered()
    (message,) = office.workspace.dm(BOB.user).messages
    assert text.startswith(message.text[:-1])
    assert 2000 < len(message.text) < 3000


async def test_a_reply_whose_blocks_slack_refuses_is_posted_without_them(office: Office) -> None:
    """It would hold back every later painting of the card otherwise."""
    async with office.delivering():
        await office.begin()
        await office.delivered()
        office.workspace.fail_next("chat.postMessage", "invalid_blocks")
        await office.happen("r1", Held("an odd reason"))
        await office.delivered()
    (reply,) = [reply for reply in office.cards[0].thread if "an odd reason" in reply.text]
    assert reply.blocks == []


@pytest.mark.parametrize("code", ["invalid_auth", "token_revoked", "missing_scope", "account_inactive"])
async def test_a_refused_token_is_a_problem_at_once_and_nothing_is_lost(office: Office, code: str) -> None:
    await office.begin()
    office.workspace.fail_next("chat.postMessage", code)
    async with office.delivering():
        await office.settled()
        assert code in office.outbox.problem
        assert office.cards == []
        office.later()
        await office.delivered()
    assert office.outbox.problem == ""
    assert len(office.cards) == 1


@pytest.mark.parametrize(
    "code",
    [
        "not_in_channel",
        "channel_not_found",
        "is_archived",
        "restricted_action",
        "restricted_action_read_only_channel",
    ],
)
async def test_a_closed_channel_is_a_problem_until_it_is_mended_and_what_is_owed_is_kept(
    office: Office, code: str
) -> None:
    office.workspace.fail_next("chat.postMessage", code, times=25)
    async with office.delivering():
        await office.begin()
        for tries in range(1, 26):
            await office.until(lambda unit, tries=tries: unit.owed()[0].tries == tries)  # type: ignore[misc]
            assert office.outbox.problem == f"Slack does not take messages ({code}: {CHANNEL})"
            await office.whisper(CAROL, f"elsewhere all is well {tries}")
            await office.until(lambda unit: len(unit.owed()) == 1)
            assert code in office.outbox.problem
            (message,) = await office.waiting()
            office.later(message.due - office.clock())
        await office.delivered()
    assert office.outbox.problem == ""
    assert office.posts_to(CHANNEL)[:26] == [False] * 25 + [True]
    assert len(office.cards) == 1
    assert office.clock() - NOW > 15 * MINUTE


async def test_a_problem_is_remembered_over_a_restart(office: Office) -> None:
    office.workspace.remove_bot(CHANNEL)
    async with office.delivering():
        await office.begin()
        await office.settled()
    assert office.outbox.problem == ""
    outbox = office.new_outbox()
    async with office.delivering():
        await office.whisper(CAROL, "delivered by an outbox that has looked at everything", "C0GENERAL")
        await office.until(lambda unit: len(unit.owed()) == 1)
        assert outbox.problem == f"Slack does not take messages (not_in_channel: {CHANNEL})"
        office.workspace.add_member(CHANNEL, office.workspace.bot_user)
        office.later()
        await office.delivered()
    assert outbox.problem == ""


async def test_a_passing_error_is_no_problem_and_one_that_stays_is(office: Office) -> None:
    await office.begin()
    office.workspace.fail_next("chat.postMessage", "internal_error", times=4)
    async with office.delivering():
        for tries in range(1, 5):
            await office.until(lambda unit, tries=tries: unit.owed()[0].tries == tries)  # type: ignore[misc]
            assert bool(office.outbox.problem) is (tries == 4)
            office.later()
        await office.delivered()
    assert office.outbox.problem == ""


# --- private messages --------------------------------------------------------------------------------------


async def test_a_whisper_is_for_one_person_where_they_are(office: Office) -> None:
    await office.whisper(BOB, "only you")
    async with office.delivering():
        await office.delivered()
    (message,) = office.workspace.channel(CHANNEL).ephemerals
    assert (message.only_for, message.text) == (BOB.user, "only you")


async def test_a_whisper_to_somebody_outside_of_the_channel_is_a_direct_message(office: Office) -> None:
    office.workspace.remove_member(CHANNEL, BOB.user)
    await office.whisper(BOB, "over here")
    await office.whisper(CAROL, "the bot is not there", channel="C0GENERAL")
    async with office.delivering():
        await office.delivered()
    assert [message.text for message in office.workspace.dm(BOB.user).messages] == ["over here"]
    assert [message.text for message in office.workspace.dm(CAROL.user).messages] == ["the bot is not there"]
    assert office.workspace.channel(CHANNEL).ephemerals == []


async def test_a_whisper_that_comes_too_late_is_not_said_at_all(office: Office) -> None:
    await office.whisper(BOB, "too old")
    office.clock.advance(timedelta(seconds=1))
    await office.whisper(CAROL, "just in time")
    office.clock.advance(10 * MINUTE)
    async with office.delivering():
        await office.delivered()
    assert [message.text for message in office.workspace.channel(CHANNEL).ephemerals] == ["just in time"]


async def test_the_outcome_for_somebody_who_left_is_given_up_and_not_a_problem(office: Office) -> None:
    async with office.delivering():
        await office.begin()
        await office.delivered()
        office.workspace.deactivate(ALICE.user)
        await office.happen("r1", Denied(BOB, "no"))
        await office.delivered()
    assert office.outbox.problem == ""
    assert "denied" in office.cards[0].readable.lower()


# --- when writing down fails ------------------------------------------------------------------------------


async def test_what_slack_took_is_not_sent_again_because_it_could_not_be_written_down(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "NOTE_AGAIN", 0.001)
    await office.begin()
    refused = 0
    write = office.store.write

    async def full(work: Any) -> Any:
        nonlocal refused
        if refused < 5:
            refused += 1
            raise StorageError("The database could not be used: database or disk is full.")
        return await write(work)

    async with office.delivering():
        await office.delivered()
        monkeypatch.setattr(office.store, "write", full)
        await write(lambda unit: owe(unit, [announce.whisper(CHANNEL, BOB, "said once")]))
        await office.delivered()
    assert refused == 5
    assert [message.text for message in office.workspace.channel(CHANNEL).ephemerals] == ["said once"]


async def test_a_look_that_is_older_than_a_delivery_repeats_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox reads what is owed, and while it reads, a delivery that was under way ends."""
    office.workspace.fail_next("chat.postEphemeral", "hang")
    read = office.store.read
    looked, go_on = asyncio.Event(), asyncio.Event()

    async def slow_read(work: Any) -> Any:
        found = await read(work)
        if isinstance(found, tuple) and office.workspace.faults.hanging:
            looked.set()
            await go_on.wait()
        return found

    async with office.delivering():
        await office.whisper(BOB, "said once")
        await office.workspace.wait_until(lambda: office.workspace.faults.hanging)
        monkeypatch.setattr(office.store, "read", slow_read)
        office.outbox.wake()
        await looked.wait()
        office.workspace.release()
        await office.workspace.wait_until(lambda: office.calls("chat.postEphemeral"))
        await office.outbox.drain(5)
        go_on.set()
        await office.whisper(CAROL, "the next one")
        await office.delivered()
    said = [message.text for message in office.workspace.channel(CHANNEL).ephemerals]
    assert said == ["said once", "the next one"]


# --- being stopped and begun again ----------------------------------------------------------------------


async def test_it_can_be_stopped_and_begun_again_at_any_time_and_says_nothing_twice(office: Office) -> None:
    """As when another process takes the delivery over and gives it back."""
    for number in range(12):
        await office.begin(f"r{number}")
    for _ in range(40):
        running = asyncio.create_task(office.outbox.run())
        committed = await office.next_commit()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()
        if not committed:
            break
    async with office.delivering():
        await office.delivered()
    assert len(office.cards) == 12
    texts = [reply.text for card in office.cards for reply in card.thread]
    assert len(set(texts)) * 12 == len(texts)


async def test_what_is_under_way_when_it_is_stopped_ends_and_is_noted(office: Office) -> None:
    office.workspace.fail_next("chat.postEphemeral", "hang")
    running = asyncio.create_task(office.outbox.run())
    await office.whisper(BOB, "said once")
    await office.workspace.wait_until(lambda: office.workspace.faults.hanging)
    running.cancel()
    draining = asyncio.create_task(office.outbox.drain(10))
    await asyncio.sleep(0)
    assert not draining.done()
    office.workspace.release()
    await draining
    assert await office.waiting() == []
    assert [message.text for message in office.workspace.channel(CHANNEL).ephemerals] == ["said once"]


async def test_what_does_not_end_in_time_is_cut_off_and_still_owed(office: Office) -> None:
    office.workspace.fail_next("chat.postEphemeral", "hang")
    running = asyncio.create_task(office.outbox.run())
    await office.whisper(BOB, "said later")
    await office.workspace.wait_until(lambda: office.workspace.faults.hanging)
    running.cancel()
    await office.outbox.drain(0.05)
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("deliver")] == []
    assert len(await office.waiting()) == 1
    office.workspace.release()


# --- the right to deliver, which another process may have taken over --------------------------------------


async def test_a_picture_of_a_process_that_was_stopped_meanwhile_is_painted_once_more(office: Office) -> None:
    """It may have come after a newer one, and would stay."""
    tenure = 1
    office.new_outbox(tenure=lambda: tenure)
    async with office.delivering():
        await office.begin()
        await office.delivered()
        for now in (1, 2):
            office.workspace.fail_next("chat.update", "hang")
            before = len(office.calls("chat.update"))
            await office.happen("r1", Held(f"reason {now}"))
            await office.workspace.wait_until(lambda: office.workspace.faults.hanging)
            tenure = now
            office.workspace.release()
            await office.delivered()
            assert len(office.calls("chat.update")) - before == now
    assert len(office.told("reason 2")) == 1, "words are not said twice"


async def test_without_the_right_nothing_is_begun(office: Office) -> None:
    tenure, asked = 0, asyncio.Event()

    def of_mine() -> int:
        asked.set()
        return tenure

    office.new_outbox(tenure=of_mine)
    async with office.delivering():
        await office.begin()
        await asked.wait()
        await office.outbox.drain(10)
        assert office.workspace.calls == []
        tenure = 1
        office.later()
        await office.delivered()
    assert len(office.cards) == 1


# --- many at once -----------------------------------------------------------------------------------------


async def test_a_channel_with_a_long_queue_does_not_hold_up_the_others(office: Office) -> None:
    """Each message waits for its turn in the channel; hundreds of them must not fill the outbox."""

    class Stuck:
        async def turn(self, channel: str) -> None:
            if channel == CHANNEL:
                await asyncio.Event().wait()

    office.new_outbox(Stuck())
    running = asyncio.create_task(office.outbox.run())
    for number in range(40):
        await office.begin(f"r{number}")
    for number in range(10):
        await office.begin(f"elsewhere{number}", channel="C0ORDERS")
        await office.happen(f"elsewhere{number}", Denied(BOB, "no"))
    await office.until(lambda unit: {message.target for message in unit.owed()} == {CHANNEL})
    assert len(office.workspace.dm(ALICE.user).messages) == 10
    running.cancel()
    await office.outbox.drain(0)


# --- pace -------------------------------------------------------------------------------------------------


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """How long each turn was asked to wait; nobody really waits."""
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)

    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "sleep", sleep)
        yield asked


async def test_a_burst_goes_through_and_then_one_message_a_second(waits: list[float]) -> None:
    pace = SlackPace(every=1.0, burst=3)
    for _ in range(8):
        await pace.turn(CHANNEL)
    assert waits[:3] == [0, 0, 0]
    assert waits[3:] == pytest.approx([1, 2, 3, 4, 5], abs=0.2)


async def test_a_channel_does_not_wait_for_another(waits: list[float]) -> None:
    pace = SlackPace(every=1.0, burst=1)
    for channel in ("C1", "C2", "C1"):
        await pace.turn(channel)
    assert waits == pytest.approx([0, 0, 1], abs=0.2)


async def test_a_channel_that_was_quiet_may_burst_again(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    pace, now = SlackPace(every=1.0, burst=2), [1000.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    for _ in range(3):
        await pace.turn(CHANNEL)
    now[0] += 3600
    for _ in range(3):
        await pace.turn(CHANNEL)
    monkeypatch.undo()
    assert waits == [0, 0, 1, 0, 0, 1]
