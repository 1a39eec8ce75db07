"""Cancels that a provider accepts first and carries out later are followed to their end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.slack.model import Message
from sandbox.slack.workspace import NeverHappened
from sandbox.vendors.servertastic import ServertasticVendor
from sandbox.vendors.tradernet import TradernetVendor
from tests.conftest import World


class Clock:
    """The real time, moved on by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def later(world: World, clock: Clock, passed: timedelta) -> None:
    """Let time pass, and something happen; the bot looks at its agenda, as it does now and then."""
    clock.ahead += passed
    assert world.bot
    world.bot._worker.wake()
    dan = world.person("dan")
    await dan.command("/cancel-order", f"payvalida {world.vendor('payvalida').new_order()} something else")
    assert (await (await dan.modal()).submit()).ok


async def in_time(world: World, clock: Clock, card: Message, text: str, step: timedelta) -> Message:
    """Let time pass, step by step, until the card reads so. A look-up that is just ending may be put
    off by the clock as it is then, so one step is not always enough."""
    for _ in range(8):
        await later(world, clock, step)
        try:
            return await world.reads(card, text, timeout=2)
        except NeverHappened:
            continue
    return await world.reads(card, text, timeout=2)


async def accepted(world: World, clock: Clock, provider: str, sample: str) -> Message:
    await world.start_bot(clock=clock)
    card = await world.asked("alice", provider, world.vendor(provider).samples[sample])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    return await world.reads(card, "accepted by the provider, not yet confirmed")


async def test_an_issued_certificate_is_cancelled_when_the_admin_contact_has_approved(
    quiet_world: World,
) -> None:
    world, clock, vendor = quiet_world, Clock(), quiet_world.vendor("servertastic")
    assert isinstance(vendor, ServertasticVendor)
    card = await accepted(world, clock, "servertastic", "issued")
    assert "Admin contact's e-mail approval" in card.readable
    await later(world, clock, timedelta(hours=3))
    assert "not yet confirmed" in world.card(card).readable
    vendor.approve_email(vendor.samples["issued"])
    await in_time(world, clock, card, "Outcome: cancelled", timedelta(hours=2))
    assert len(vendor.sends) == 1


async def test_an_e_mail_that_nobody_approves_becomes_a_task_for_a_person(quiet_world: World) -> None:
    world, clock, vendor = quiet_world, Clock(), quiet_world.vendor("servertastic")
    card = await accepted(world, clock, "servertastic", "issued")
    asked = await in_time(world, clock, card, "needs a person", timedelta(days=8))
    assert "may or may not be cancelled" in asked.readable
    assert len(vendor.sends) == 1


async def test_an_order_that_the_market_cancels_only_after_minutes_is_followed(quiet_world: World) -> None:
    world, clock, vendor = quiet_world, Clock(), quiet_world.vendor("tradernet")
    assert isinstance(vendor, TradernetVendor)
    vendor.settle_after = None
    card = await accepted(world, clock, "tradernet", "cancellable")
    await later(world, clock, timedelta(minutes=5))
    assert "not yet confirmed" in world.card(card).readable
    vendor.settle(vendor.samples["cancellable"])
    await in_time(world, clock, card, "Outcome: cancelled", timedelta(minutes=5))
    assert len(vendor.sends) == 1
