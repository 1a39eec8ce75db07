"""The App Home: what waits for me, live, with buttons that work from there."""

from __future__ import annotations

from datetime import date

import pytest

from bot import home
from bot.store import Unit
from bot.store.chain import Head
from sandbox.slack.forms import ViewHandle
from tests.conftest import World
from tests.test_batches import asked as asked_for_several


async def home_reads(world: World, who: str, text: str) -> ViewHandle:
    def look() -> ViewHandle | None:
        home = world.person(who).home
        return home if home is not None and text in home.readable else None

    return await world.workspace.wait_until(look)


async def test_whoever_opens_it_sees_what_waits_for_them_and_can_approve_there(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    await world.person("bob").open_home()
    home = await home_reads(world, "bob", "ordered twice")
    assert "Approve cancellation" in home.buttons
    await home.click("Approve cancellation")
    await world.reads(card, "1 of 2")
    await home_reads(world, "bob", "Nothing waits for your decision")


async def test_it_is_painted_anew_when_something_changes(world: World) -> None:
    await world.person("carol").open_home()
    await home_reads(world, "carol", "Nothing waits for your decision")
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    await home_reads(world, "carol", "0 of 2 approvals")
    await world.approve("bob", card)
    await home_reads(world, "carol", "1 of 2 approvals")
    await world.approve("carol", card)
    await home_reads(world, "carol", "1 cancelled")


async def test_the_requester_sees_their_own_requests_and_nothing_to_decide(world: World) -> None:
    await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    await world.person("alice").open_home()
    home = await home_reads(world, "alice", "waiting for approval")
    assert "Nothing waits for your decision" in home.readable
    assert "Approve cancellation" not in home.buttons


async def test_the_form_can_be_opened_from_there(world: World) -> None:
    dan = world.person("dan")
    await dan.open_home()
    home = await home_reads(world, "dan", "Set up here")
    await home.click("Cancel an order")
    assert "Provider" in (await dan.modal()).labels


async def test_a_click_there_that_does_not_count_is_answered_in_a_direct_message(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    bob = world.person("bob")
    await bob.open_home()
    home = await home_reads(world, "bob", "ordered twice")
    world.workspace.groups["S0ONCALL"].users.remove("U0BOB")
    await world.stop_bot()
    await world.start_bot()
    await home.click("Approve cancellation")
    told = await world.workspace.wait_until(lambda: bob.dms())
    assert "You cannot decide on this request" in told[-1].readable
    assert "0 of 2" in world.card(card).readable


async def test_a_pause_is_told_at_the_top_and_what_it_holds_up_below(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    for who in ("alice", "dan"):
        await world.person(who).open_home()
    await world.person("dan").command("/cancel-order", "pause digicert their pages are down")
    home = await home_reads(world, "dan", "Cancelling at DigiCert is paused, by @Dan: their pages are down.")
    assert home.readable.index("is paused") < home.readable.index("Waiting for you")
    assert "On hold" not in home.readable

    for who in ("bob", "carol"):
        await world.approve(who, card)
    home = await home_reads(world, "dan", "On hold")
    assert home.readable.index("On hold") < home.readable.index("approved, on hold")
    assert "approved, on hold" in (await home_reads(world, "alice", "approved, on hold")).readable
    assert "1 open. Ended within the last 30 days: none." in home.readable
    await world.person("alice").command("/cancel-order", "mine")
    await world.said("alice", "*approved, on hold*")

    await world.person("dan").command("/cancel-order", "resume digicert")
    home = await home_reads(world, "dan", "0 open. Ended within the last 30 days: 1 cancelled.")
    assert "On hold" not in home.readable
    assert "is paused" not in home.readable


async def test_a_list_on_hold_and_one_that_has_ended_are_there_as_well(world: World) -> None:
    vendor = world.vendor("digicert")
    card = await asked_for_several(world, f"{vendor.new_order()}\n{vendor.new_order()}")
    await world.person("dan").open_home()
    await world.person("dan").command("/cancel-order", "pause digicert")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    home = await home_reads(world, "dan", "On hold")
    assert (
        "2 orders at DigiCert: 2 approved, some on hold"
        in home.readable.split("On hold")[1].split("Your requests")[0]
    )
    await world.person("dan").command("/cancel-order", "resume digicert")
    home = await home_reads(world, "dan", "2 orders at DigiCert: 2 cancelled")
    assert "2 orders at DigiCert: 2 cancelled" in home.readable.split("Ended lately")[1]


async def test_what_all_see_is_read_once_until_something_happens(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[tuple[Head, date]] = []
    read_common = home._common

    def counted(unit: Unit, as_of: tuple[Head, date], known: home._Common | None) -> home._Common:
        reads.append(as_of)
        return read_common(unit, as_of, known)

    monkeypatch.setattr(home, "_common", counted)
    for who in ("bob", "carol"):
        await world.person(who).open_home()
        await home_reads(world, who, "Nothing waits for your decision")
    assert len(reads) == 1
    await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    for who in ("bob", "carol", "alice"):
        await world.person(who).open_home()
    await home_reads(world, "alice", "waiting for approval")
    for who in ("bob", "carol"):
        await home_reads(world, who, "0 of 2 approvals")
    assert len(reads) == len(set(reads)) > 1
