"""Whoever is on call in PagerDuty may approve, from the moment on which they are to when they are not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sandbox.pagerduty import PretendPagerDuty
from sandbox.slack.model import Message
from tests.conftest import World

SCHEDULE = "PABC123"


@pytest.fixture
async def pagerduty() -> AsyncIterator[PretendPagerDuty]:
    async with PretendPagerDuty() as started:
        yield started
        assert started.problems == []


async def asked(world: World, pagerduty: PretendPagerDuty) -> Message:
    """A card; nobody but Dan is an approver by name, Bob and Carol are on call."""
    pagerduty.on_call[SCHEDULE] = ["bob@northwind.example", "carol@northwind.example"]
    settings = {"APPROVERS": "U0DAN", **pagerduty.settings(SCHEDULE)}
    await world.start_bot(None, **settings)
    return await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])


async def test_two_people_on_call_approve(quiet_world: World, pagerduty: PretendPagerDuty) -> None:
    card = await asked(quiet_world, pagerduty)
    for who in ("bob", "carol"):
        await quiet_world.approve(who, card)
    await quiet_world.reads(card, "Outcome: cancelled")


async def test_the_people_on_call_are_mentioned(quiet_world: World, pagerduty: PretendPagerDuty) -> None:
    card = await asked(quiet_world, pagerduty)
    call = await quiet_world.workspace.wait_until(
        lambda: next((m for m in quiet_world.card(card).thread if "<@U0" in m.text), None)
    )
    assert {"<@U0BOB>", "<@U0CAROL>", "<@U0DAN>"} <= set(call.text.split())
    assert "pagerduty:" not in call.text


async def test_a_change_of_shift_before_the_permit_takes_the_approval_away(
    quiet_world: World, pagerduty: PretendPagerDuty
) -> None:
    world = quiet_world
    card = await asked(world, pagerduty)
    await world.approve("bob", card)
    await world.reads(card, "1 of 2")
    pagerduty.on_call[SCHEDULE] = ["carol@northwind.example"]
    await world.approve("dan", card)
    await world.reads(card, "Approved so far: @Dan. 1 more needed")
    await world.workspace.wait_until(
        lambda: any("not on the list of approvers" in reply.readable for reply in world.card(card).thread)
    )
    await world.approve("carol", card)
    await world.reads(card, "Outcome: cancelled")
    assert len(world.vendor("digicert").sends) == 1


async def test_nothing_is_executed_before_pagerduty_has_said_who_is_on_call(
    quiet_world: World, pagerduty: PretendPagerDuty
) -> None:
    world = quiet_world
    pagerduty.status = 500
    card = await asked(world, pagerduty)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    unsure = await world.reads(card, "being checked, does not count yet")
    assert "0 of 2" in unsure.readable
    assert world.vendor("digicert").sends == []
    pagerduty.status = 200
    await world.reads(card, "Outcome: cancelled", timeout=30)
    assert len(world.vendor("digicert").sends) == 1
