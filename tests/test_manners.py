"""The manners that every town test is held to can be broken, and are kept where it is hardest."""

from __future__ import annotations

from typing import Any

import pytest

from tests import manners
from tests.conftest import World


def section(text: str) -> list[dict[str, Any]]:
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]


def test_a_well_mannered_message_is_not_complained_about() -> None:
    text = "Bob approved the cancellation, <!date^1795305600^{date} at {time}|2026-11-21 17:00 UTC>."
    assert manners.faults(text, section(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "New message",
        "",
        "This is for <!channel> and everybody.",
        "See <https://provider.example/cancel?order=1|the order> for more.",
        "It expires at 2026-11-21 17:00 UTC, so hurry.",
        "A name that turns \u202earound in the middle.",
    ],
)
def test_bad_manners_are_noticed(text: str) -> None:
    assert manners.faults(text, section("Fine."))


def test_what_is_only_in_a_block_is_looked_at_as_well() -> None:
    assert manners.faults("All is well here.", section("<!here> look"))


async def test_nobody_is_called_more_than_once_for_one_thing(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: cancelled")
    for reply in world.card(card).thread:
        assert all(times == 1 for times in manners.calls(reply).values()), reply.text


async def test_hostile_words_are_shown_as_they_are_and_do_nothing(world: World) -> None:
    reason = "<!channel> <https://evil.example|click> \u202eevil *bold* `code` <@U0BOB> & more"
    reference = world.vendor("digicert").samples["cancellable"]
    alice = world.person("alice")
    await alice.command("/cancel-order", f"digicert {reference}")
    form = await alice.modal()
    form.fill({"Reason": reason})
    sent = await form.submit()
    assert sent.ok, sent.errors
    card = await world.workspace.wait_until(lambda: world.cards[-1])
    shown = await world.reads(card, "0 of 2")
    assert "<!channel>" in shown.readable, "as text"
    assert manners.complaints(world.workspace) == []
