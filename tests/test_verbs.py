"""What people look up behind the command: lists with pages, of one provider or of one person."""

from __future__ import annotations

import pytest

from tests.conftest import World


async def answer(world: World, who: str, text: str, contains: str) -> str:
    await world.person(who).command("/cancel-order", text)
    return (await world.said(who, contains)).text


async def test_a_list_longer_than_a_page_says_what_to_type_for_the_next(world: World) -> None:
    vendor = world.vendor("payvalida")
    for number in range(12):
        await world.ask("alice", "payvalida", f"missing-{number}")
    await world.workspace.wait_until(
        lambda: all("cannot be cancelled" in card.readable for card in world.cards)
    )
    first = await answer(world, "alice", "mine", "There are more")
    assert first.count("•") == 10
    assert "/cancel-order mine 2" in first
    assert "missing-0" not in first, "the newest come first"
    second = await answer(world, "alice", "mine 2", "• Payvalida order number `missing-0`")
    assert second.count("•") == 2
    assert "There are more" not in second
    assert vendor.sends == []


async def test_the_history_can_be_narrowed_to_a_provider_or_a_person(world: World) -> None:
    await world.ask("alice", "payvalida", "missing-1")
    await world.ask("dan", "digicert", "999999")
    await world.workspace.wait_until(
        lambda: all("cannot be cancelled" in card.readable for card in world.cards)
    )
    assert "Payvalida" not in await answer(world, "bob", "history digicert", "999999")
    assert "999999" not in await answer(world, "bob", "history U0ALICE", "missing-1")
    assert "999999" not in await answer(world, "alice", "history me", "missing-1")
    assert "None." in await answer(world, "carol", "history me", "None.")


@pytest.mark.parametrize("typed", ["history nobody", "history digcert"])
async def test_a_history_of_nothing_known_is_answered_with_what_there_is(world: World, typed: str) -> None:
    assert "Enabled:" in await answer(world, "bob", typed, "There is no provider")


async def test_a_word_that_is_neither_a_command_nor_a_provider_is_answered_as_such(world: World) -> None:
    await answer(world, "bob", "frobnicate", "There is no provider and no command `frobnicate` here.")
