"""What people may do in the same moment: one function is one round, and notes what is violated."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from bot.events import Permitted
from bot.model import State
from tests.races.stage import Stage

HURRY = 0.2
"""Seconds between two acts, at most: about what the bot needs from the last approval to the permit."""
CLICKS = 8
IDENTICAL = 100
WITHDRAWN_ROUNDS = 3
"""Of four rounds: what they are about is shown before anything is sent, and the provider is spared."""


async def eight_clicks_by_one_person(stage: Stage) -> None:
    order = await stage.asked()
    screen = order.snapshot
    await stage.in_the_same_moment(*(stage.click("bob", screen, "Approve", web) for web in range(CLICKS)))
    await order.reads("1 more needed")
    counted = order.story.approvals_of(stage.world.person("bob").id)
    if counted != 1:
        stage.note(f"{order.reason}: {CLICKS} clicks by one person counted {counted} times")
    if stage.number % (WITHDRAWN_ROUNDS + 1):
        await stage.click("alice", order.card, "Withdraw", stage.number)
    else:
        await stage.click("carol", order.card, "Approve", stage.number)
    await order.ends()


async def two_approvers(stage: Stage) -> None:
    order = await stage.asked()
    screen = order.snapshot
    await stage.in_the_same_moment(
        stage.click("bob", screen, "Approve", 0), stage.click("carol", screen, "Approve", 1)
    )
    story = await order.ends()
    if story.request is None or story.request.state is not State.CANCELLED:
        stage.note(f"{order.reason}: it ended as {story.request and story.request.state}")
    if story.count(Permitted) != 1 or order.vendor.sends.count(order.reference) != 1:
        stage.note(f"{order.reason}: {story.count(Permitted)} permits")


async def approve_against_deny(stage: Stage) -> None:
    order = await stage.asked()
    await stage.click("bob", order.card, "Approve")
    await order.reads("1 more needed")
    screen = order.snapshot
    form = await stage.form_to_deny("dan", screen)
    await stage.in_the_same_moment(
        stage.click("carol", screen, "Approve", 0), stage.submit(form, 1), apart=HURRY
    )
    await order.ends()


async def approve_against_withdraw(stage: Stage) -> None:
    order = await stage.asked()
    await stage.click("bob", order.card, "Approve")
    await order.reads("1 more needed")
    screen = order.snapshot
    await stage.in_the_same_moment(
        stage.click("carol", screen, "Approve", 0), stage.click("alice", screen, "Withdraw", 1), apart=HURRY
    )
    await order.ends()


async def approve_against_expiry(stage: Stage) -> None:
    """On a stage whose requests live for some seconds only."""
    order = await stage.asked()
    await stage.click("bob", order.card, "Approve")
    screen = order.snapshot
    request = order.story.request
    assert request is not None
    left = (request.expires_at - datetime.now(UTC)).total_seconds()
    await asyncio.sleep(left + stage.rng.uniform(-2 * HURRY, HURRY / 2))
    await stage.click("carol", screen, "Approve", stage.number)
    await order.ends()


async def a_hundred_requests_for_one_order(stage: Stage) -> None:
    stage.number += 1
    stage.take_turns()
    vendor = stage.world.vendor("digicert")
    reference, reason = vendor.new_order(), f"round {stage.number} of the races"
    alice = stage.world.person("alice")
    await alice.command("/cancel-order", f"digicert {reference} {reason}")
    form = await alice.modal()
    before = len(stage.world.cards)

    await asyncio.gather(*(stage.submit(form, web) for web in range(IDENTICAL)))
    requests = [r for r in stage.store.read_now(lambda unit: unit.requests()) if r.reason == reason]
    if len(requests) != 1:
        stage.note(f"{reason}: {IDENTICAL} forms made {len(requests)} requests")
    card = await stage.world.workspace.wait_until(lambda: stage.world.cards[before])
    await stage.world.workspace.wait_until(lambda: "Withdraw" in stage.world.card(card).buttons)
    await stage.click("alice", stage.world.card(card), "Withdraw")
    await stage.world.reads(card, "Outcome: withdrawn")
