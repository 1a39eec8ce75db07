"""Slack is away for minutes or for days, or does not want us: nothing is lost, and nothing is executed."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.bot.office import ALICE, CHANNEL, open_office
from tests.bot.test_health import ready
from tests.conftest import World
from tests.test_asynchronous import Clock

MANY = 200


class Counted:
    """How many turns were asked for in each channel. Each is a second in the real Slack."""

    def __init__(self) -> None:
        self.turns: Counter[str] = Counter()

    async def turn(self, channel: str) -> None:
        self.turns[channel] += 1


# --- for days -------------------------------------------------------------------------------------


async def test_three_days_and_hundreds_of_outcomes_later_everything_is_told_once_and_in_order(
    tmp_path: Path,
) -> None:
    reasons = {f"r{number}": f"reason {number}." for number in range(MANY)}
    names = list(reasons)
    async with open_office(tmp_path) as office:
        office.workspace.outage()
        for first in range(0, MANY, MANY // 4):
            await office.begin_and_deny({name: reasons[name] for name in names[first : first + MANY // 4]})
            office.new_outbox()
            async with office.delivering():
                await office.settled(within=60)
            office.clock.advance(timedelta(hours=18))
        assert office.cards == []
        office.workspace.outage(False)
        office.workspace.calls.clear()
        pace = Counted()
        office.new_outbox(pace)
        async with office.delivering():
            await office.delivered(within=120)
        for reason in reasons.values():
            (card,) = [card for card in office.cards if reason in card.readable]
            assert [reply for reply in card.thread if reason in reply.text] == card.thread[-1:]
        told = [message.readable for message in office.workspace.dm(ALICE.user).messages]
        assert [text.split("reason ")[1].split(".")[0] for text in told] == [name[1:] for name in names]
        # No turn was taken in vain: all is out as soon as one message a second and channel allows.
        assert pace.turns[CHANNEL] == MANY + sum(len(card.thread) for card in office.cards)
        assert pace.turns[ALICE.user] == MANY
        assert all(call.ok for call in office.workspace.calls)
        assert len(office.calls("conversations.history")) == MANY


async def test_what_ended_while_slack_was_away_is_told_when_it_is_back(
    quiet_world: World,
) -> None:
    """One was being cancelled when it went away, one waited for approval, and the bot was started again."""
    world, clock, vendor = quiet_world, Clock(), quiet_world.vendor("payvalida")
    await world.start_bot(clock=clock)
    done = await world.asked("alice", "payvalida", vendor.samples["cancellable"])
    late = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    await world.approve("bob", late)
    await world.approve("bob", done)
    vendor.fail_next(Fault.HANG)
    await world.approve("carol", done)
    await vendor.wait_until(lambda: len(vendor.sends) == 1)
    world.workspace.outage()
    vendor.release()
    await vendor.wait_until(lambda: bool(vendor.performed))
    await world.stop_bot()
    starting = asyncio.create_task(world.start_bot(clock=clock))
    clock.ahead += timedelta(hours=72)
    await world.workspace.wait_until(lambda: len(world.workspace.calls) > 0)
    world.workspace.outage(False)
    await starting
    await world.reads(done, "Outcome: cancelled", timeout=30)
    await world.reads(late, "expired", timeout=30)
    for card in (done, late):
        await world.workspace.wait_until(lambda card=card: outcomes(world, card))  # type: ignore[misc]
    await world.workspace.wait_until(lambda: len(world.person("alice").dms()) == 2)
    assert [len(outcomes(world, card)) for card in (done, late)] == [1, 1]
    assert len(vendor.sends) == 1
    assert world.vendor("digicert").sends == []


def outcomes(world: World, card: Message) -> list[Message]:
    return [
        reply
        for reply in world.card(card).thread
        if reply.metadata and reply.metadata["event_type"] == "order_cancellation"
    ]


# --- not wanted -----------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["socket"])
@pytest.mark.parametrize("code", ["invalid_auth", "token_revoked", "account_inactive"])
async def test_without_a_valid_token_nothing_is_executed_and_everything_is_kept(
    world: World, code: str
) -> None:
    """Nobody can be asked who may approve. What was heard a moment before does not count instead."""
    vendor = world.vendor("payvalida")
    card = await world.asked("dan", "payvalida", vendor.samples["cancellable"])
    before = world.card(card).readable
    world.workspace.fail_next("*", code, times=100_000)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    assert f"Slack does not take messages ({code})" in await ready(world)
    await vendor.wait_until(lambda: len(vendor.seen) >= 2)
    await asyncio.sleep(1)
    assert vendor.sends == []
    assert world.card(card).readable == before
    world.workspace.faults.clear()
    await world.reads(card, "Outcome: cancelled", timeout=30)
    assert await ready(world, 200) == ""
    assert len(vendor.sends) == 1
