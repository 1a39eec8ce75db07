"""The main job, through the front door: real Bolt over both transports, real HTTP to each provider, and a
real database of either kind."""

from __future__ import annotations

import pytest

from sandbox.vendors import VENDORS
from tests.conftest import World

PROVIDERS = [vendor.name for vendor in VENDORS]


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> str:
    """Here with each transport."""
    return str(request.param)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_two_people_approve_and_the_order_is_cancelled_once(world: World, provider: str) -> None:
    vendor = world.vendor(provider)
    reference = vendor.samples["cancellable"]
    card = await world.asked("alice", provider, reference)
    await world.approve("bob", card)
    await world.reads(card, "1 more needed")
    assert vendor.sends == []
    await world.approve("carol", card)
    done = await world.reads(card, "cancelled")
    await world.workspace.wait_until(lambda: vendor.is_cancelled(reference) and not world.decisions(card))
    assert len(vendor.sends) == 1
    assert world.decisions(done) == []
    outcome = await world.workspace.wait_until(
        lambda: next(r for r in world.card(card).thread if "Outcome: *cancelled*" in r.text)
    )
    assert outcome.metadata is not None
    # A provider that takes it first and confirms it later is a message before that.
    await world.workspace.wait_until(lambda: "cancelled" in world.person("alice").dms()[-1].text)
