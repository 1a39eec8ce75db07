"""What an approver reads without pressing *Details*: how much is at stake, and what cannot be repaired."""

from __future__ import annotations

import pytest

from sandbox.slack.model import Message
from tests.conftest import World
from tests.test_home import home_reads

FIRST = {
    "cpanel": "Paid: yes · At the store: RequiresApproval",
    "tradernet": "Instrument: AAPL.US · Side: buy · Still open: 5 of 5 · Price: 190.5 USD",
}
WARNED = {
    "digicert": "Warning: Money may not come back by itself",
    "payvalida": "Warning: Payvalida tells nobody, neither the payer nor your systems.",
}


def dialog(card: Message) -> str:
    """What is asked once more when somebody presses *Approve cancellation*."""
    buttons = [button for block in card.blocks for button in block.get("elements", ())]
    return str(next(one["confirm"]["text"]["text"] for one in buttons if "Approve" in str(one.get("text"))))


@pytest.mark.parametrize("provider", FIRST)
async def test_card_home_and_dialog_say_how_much_is_at_stake(world: World, provider: str) -> None:
    card = await world.asked("alice", provider, world.vendor(provider).samples["cancellable"])
    await world.reads(card, FIRST[provider])
    await world.person("bob").open_home()
    await home_reads(world, "bob", FIRST[provider])
    asked = dialog(world.card(card))
    assert all(fact.replace(": ", " ", 1) in asked for fact in FIRST[provider].split(" · "))


@pytest.mark.parametrize("provider", WARNED)
async def test_the_warning_on_the_card_is_the_one_nobody_can_repair(world: World, provider: str) -> None:
    card = await world.asked("alice", provider, world.vendor(provider).samples["cancellable"])
    await world.reads(card, WARNED[provider])
