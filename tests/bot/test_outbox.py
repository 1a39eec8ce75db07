"""What is owed to Slack is delivered, in order, however long Slack is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import announce, outbox
from bot.errors import StorageError
from bot.model import (
    Approved,
    Denied,
    Event,
    Held,
    OrderRead,
    Person,
    QuorumReached,
    Requested,
    digest,
)
from bot.outbox import Outbox, Retry, SlackPace
from bot.slack import Slack
from bot.store import Store, Unit
from bot.store.chain import Head
from bot.store.tables import MessageRow
from sandbox.slack import faults
from sandbox.slack.example import TEAM
from sandbox.slack.model import Message
from sandbox.slack.server import SlackServer
from sandbox.slack.workspace import Workspace
from tests.bot.builders import NOW, an_order, some_facts
from tests.bot.stores import Clock, opened
from tests.conftest import NoPace

CHANNEL = "C0APPROVALS"
FACTS = some_facts()
ALICE, BOB, CAROL = (Person(TEAM, f"U0{name}") for name in ("ALICE", "BOB", "CAROL"))
RETRY = Retry(timedelta(seconds=1), timedelta(seconds=60))
MINUTE = timedelta(minutes=1)


class Office:
    """A database, a workspace, and an outbox that delivers from one to the other."""

    def __init__(self, store: Store, clock: Clock, workspace: Workspace, slack: Slack) -> None:
        self.store = store
        self.clock = clock
        self.workspace = workspace
        self.slack = slack
        self._committed = asyncio.Event()
        store.on_commit(self._committed.set)
        self.outbox = self.new_outbox()

    def new_outbox(self) -> Outbox:
        self.outbox = Outbox(self.store, self.slack, {"digicert": FACTS}, RETRY, NoPace(), self.clock)
        self.store.on_commit(self.outbox.wake)
        return self.outbox

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.outbox.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await self.outbox.drain(5)

    # What happens

    async def begin(self, request_id: str = "r1") -> None:
        """A new request, looked up: its card is owed, and the call to those who decide."""
        expires = self.clock() + timedelta(hours=24)
        event = Requested(
            TEAM, CHANNEL, "digicert", "acct", "123", request_id, ALICE, "twice", 2, ("S0ONCALL",), expires
        )

        def work(unit: Unit) -> None:
            request = unit.begin(request_id, event, "123")
            _owe(unit, announce.owed(None, request, [event], FACTS))

        await self.store.write(work)
        await self.happen(request_id, OrderRead(an_order()))

    async def happen(self, request_id: str, *events: Event) -> None:
        """As the workflow saves it: what it means is owed in the same transaction."""

        def work(unit: Unit) -> None:
            before = unit.request(request_id)
            assert before is not None
            after = unit.save(before, events)
            _owe(unit, announce.owed(before, after, events, FACTS))

        await self.store.write(work)

    async def approve(self, request_id: str, *people: Person) -> None:
        for person in people:
            request = await self.store.read(lambda unit: unit.request(request_id))
            assert request is not None
            await self.happen(request_id, Approved(person, digest(request), True, "on the list"))

    async def begin_and_approve(self, request_id: str = "r1") -> None:
        """From here on a reason to hold it is on the card."""
        await self.begin(request_id)
        await self.approve(request_id, BOB, CAROL)
        await self.happen(request_id, QuorumReached())

    async def whisper(self, person: Person, text: str, channel: str = CHANNEL) -> None:
        await self.store.write(lambda unit: _owe(unit, [announce.whisper(channel, person, text)]))

    def later(self, by: timedelta = MINUTE) -> None:
        self.clock.advance(by)
        self.outbox.wake()

    # What is there

    async def until(self, predicate: Callable[[Unit], bool]) -> None:
        async with asyncio.timeout(10):
            while True:
                self._committed.clear()
                if await self.store.read(predicate):
                    return
                await self._committed.wait()

    async def settled(self) -> None:
        """Everything that is due was tried."""
        await self.until(lambda unit: all(message.due > self.clock() for message in unit.owed()))

    async def delivered(self) -> None:
        await self.until(lambda unit: unit.owed() == [])

    async def waiting(self) -> list[MessageRow]:
        return await self.store.read(lambda unit: unit.owed())

    @property
    def cards(self) -> list[Message]:
        return self.workspace.channel(CHANNEL).messages

    def calls(self, method: str) -> list[bool]:
        """Whether each call of a method was taken."""
        return [call.ok for call in self.workspace.calls if call.method == method]


def _owe(unit: Unit, messages: Sequence[announce.Owed]) -> None:
    for owed in messages:
        unit.owe(owed.lane, owed.kind, request_id=owed.request_id, target=owed.target, body=owed.body)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    clock, workspace = Clock(), Workspace.example()
    server = SlackServer(workspace)
    await server.start()
    slack = Slack(workspace.bot_token, server.api_url)
    try:
        with opened(tmp_path / "bot.db", clock) as store:
            yield Office(store, clock, workspace, slack)
    finally:
        await slack.close()
        await server.stop()
    assert workspace.problems == []


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


async def test_a_request_slack_will_not_take_does_not_hold_back_others(office: Office) -> None:
    await office.begin("r1")
    office.workspace.fail_next("chat.postMessage", "internal_error")
    async with office.delivering():
        await office.settled()
        await office.begin("r2")
        await office.until(lambda unit: [message.lane for message in unit.owed()] == ["r1"])
    (card,) = office.cards
    assert "Request r2" in card.readable


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


async def test_a_post_whose_answer_was_lost_is_repeated_once_and_no_more(office: Office) -> None:
    async with office.delivering():
        await office.begin()
        await office.delivered()
        office.workspace.fail_next("chat.postMessage", "lose_answer")
        await office.happen("r1", Held("once or twice"))
        await office.settled()
        office.later()
        await office.delivered()
    (card,) = office.cards
    assert sum("once or twice" in reply.text for reply in card.thread) == 2


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


async def test_a_rate_limit_without_a_time_is_a_minute(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = faults.Fault("status", error="ratelimited", status=429)
    monkeypatch.setattr(faults, "_fault", lambda *_: silent)  # the sandbox's own always names a time
    await office.begin()
    office.workspace.fail_next("chat.postMessage", "ratelimited")
    async with office.delivering():
        await office.settled()
        (message,) = await office.waiting()
        assert message.due == NOW + MINUTE


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


@pytest.mark.parametrize("code", sorted({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"}))
async def test_a_card_whose_blocks_slack_refuses_is_posted_plainly(office: Office, code: str) -> None:
    await office.begin()
    office.workspace.fail_next("chat.postMessage", code)
    async with office.delivering():
        await office.delivered()
    (card,) = office.cards
    assert card.buttons == []
    assert "123" in card.readable
    assert [block["type"] for block in card.blocks] == ["section"]


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
    office.workspace.fail_next("*", code)
    async with office.delivering():
        await office.settled()
        assert code in office.outbox.problem
        assert office.cards == []
        office.later()
        await office.delivered()
    assert office.outbox.problem == ""
    assert len(office.cards) == 1


async def test_a_channel_without_the_bot_is_a_problem_at_once(office: Office) -> None:
    office.workspace.remove_bot(CHANNEL)
    await office.begin()
    async with office.delivering():
        await office.settled()
        assert "not_in_channel" in office.outbox.problem
        office.workspace.add_member(CHANNEL, office.workspace.bot_user)
        office.later()
        await office.delivered()
    assert office.outbox.problem == ""


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


# --- what an auditor finds in the channel ------------------------------------------------------------------


async def test_the_outcome_in_the_channel_carries_the_head_of_the_history(office: Office) -> None:
    async with office.delivering():
        await office.begin_and_approve()
        await office.delivered()
        assert [reply.metadata for reply in office.cards[0].thread if reply.metadata] == []
        assert office.cards[0].metadata is None
        await office.happen("r1", Denied(BOB, "no"))
        await office.delivered()
    (card,) = office.cards
    *_, outcome = [reply for reply in card.thread if reply.metadata]
    for message in (card, outcome):
        assert message.metadata is not None
        assert message.metadata["event_type"] == "order_cancellation"
        payload: dict[str, Any] = message.metadata["event_payload"]
        assert (payload["request_id"], payload["state"]) == ("r1", "denied")
        seq, _, digest_of_it = payload["audit_head"].partition(":")
        head = Head(int(seq), digest_of_it)
        assert await office.store.read(lambda unit, head=head: unit.verify(head)) == head  # type: ignore[misc]


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
        await write(lambda unit: _owe(unit, [announce.whisper(CHANNEL, BOB, "said once")]))
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
        if isinstance(found, list) and found and office.workspace.faults.hanging:
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
