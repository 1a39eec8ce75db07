"""Pauses: nothing is sent while a provider is paused, and what waited goes on when somebody says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from bot import cli
from bot.store import Store, Unit
from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.conftest import World
from tests.past_the_bot import rows
from tests.test_asynchronous import Clock, later
from tests.test_batches import asked as asked_for_several


def announced(world: World, text: str) -> list[Message]:
    return [message for message in world.cards if text in message.readable]


async def everybody_reads(world: World, text: str) -> Message:
    return await world.workspace.wait_until(lambda: next(iter(announced(world, text)), None))


async def typed(world: World, who: str, text: str, answer: str) -> str:
    await world.person(who).command("/cancel-order", text)
    return (await world.said(who, answer)).text


async def asked(world: World, provider: str, reference: str) -> Message:
    """A card that is waiting; announcements may be posted before and after it."""
    alice = world.person("alice")
    await alice.command("/cancel-order", f"{provider} {reference} ordered twice")
    assert (await (await alice.modal()).submit()).ok
    return await world.workspace.wait_until(
        lambda: next((m for m in world.cards if reference in m.readable and "Deny" in m.buttons), None)
    )


async def approved(world: World, provider: str, reference: str = "") -> Message:
    card = await asked(world, provider, reference or world.vendor(provider).samples["cancellable"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    return card


async def test_nothing_is_sent_to_a_paused_provider_until_it_is_resumed(world: World) -> None:
    vendor = world.vendor("digicert")
    await typed(world, "bob", "pause digicert their pages are down", "is paused")
    said = await everybody_reads(world, "Cancelling at DigiCert is paused")
    assert "@Bob: their pages are down." in said.readable
    assert "/cancel-order resume digicert" in said.readable

    waiting = await approved(world, "digicert")
    held = await world.reads(waiting, "On hold: Cancelling at DigiCert is paused: their pages are down.")
    assert "/cancel-order resume digicert" in held.readable
    other = await approved(world, "payvalida")
    await world.reads(other, "Outcome: cancelled")
    assert vendor.sends == []

    await typed(world, "carol", "resume digicert", "It goes on")
    await world.reads(waiting, "Outcome: cancelled")
    assert vendor.sends == [vendor.samples["cancellable"]]
    await everybody_reads(world, "Cancelling at DigiCert goes on, by @Carol")


async def test_who_paused_and_resumed_is_in_the_history(world: World) -> None:
    await typed(world, "bob", "pause", "is paused")
    await typed(world, "carol", "resume", "It goes on")
    kept = rows(
        world.database, "SELECT kind, body FROM event WHERE kind IN ('paused', 'resumed') ORDER BY seq"
    )
    told = [(kind, json.loads(body)) for kind, body in kept]
    assert told == [
        ("paused", {"provider": "", "by": "U0BOB", "reason": "No reason was given"}),
        ("resumed", {"provider": "", "by": "U0CAROL"}),
    ]


async def test_a_second_pause_is_answered_with_the_first_and_nobody_is_told_again(
    world: World, command: Callable[..., tuple[int, str]]
) -> None:
    await typed(world, "bob", "pause cpanel maintenance", "is paused. The channel is told.")
    answer = await typed(world, "carol", "pause cpanel it is down", "is paused already")
    assert "Cancelling at cPanel is paused already, since <!date^" in answer
    assert answer.endswith("by <@U0BOB>: maintenance.")
    code, told = await asyncio.to_thread(command, "pause", "cpanel")
    assert (code, told.endswith("UTC by U0BOB: maintenance\n")) == (0, True)
    assert "Cancelling at cPanel is paused already, since " in told
    await world.person("bob").command("/cancel-order", "resume cpanel")
    await everybody_reads(world, "Cancelling at cPanel goes on")
    assert len(announced(world, "Cancelling at cPanel is paused")) == 1
    assert len(rows(world.database, "SELECT seq FROM event WHERE kind = 'paused'")) == 1


async def test_on_hold_by_a_pause_with_enough_approvals_nobody_is_asked_to_approve(world: World) -> None:
    await typed(world, "bob", "pause digicert their pages are down", "is paused")
    card = await approved(world, "digicert")
    held = await world.reads(card, "On hold: ")
    assert "`/cancel-order resume digicert`. Nothing is sent meanwhile." in str(held.blocks)
    assert [button for button in held.buttons if button.startswith(("Approve", "Deny"))] == ["Deny"]


async def test_a_list_on_hold_by_a_pause_has_no_button_to_approve_either(world: World) -> None:
    vendor = world.vendor("digicert")
    card = await asked_for_several(world, f"{vendor.new_order()}\n{vendor.new_order()}")
    await typed(world, "bob", "pause digicert their pages are down", "is paused")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    held = await world.reads(card, "2 on hold: Cancelling at DigiCert is paused")
    assert "`/cancel-order resume digicert`. Nothing" in str(held.blocks)
    assert [button for button in held.buttons if button.startswith(("Approve", "Deny"))] == ["Deny"]


async def test_a_pause_of_everything_is_another_one_than_that_of_a_provider(world: World) -> None:
    await typed(world, "bob", "pause payvalida late", "is paused")
    await typed(world, "bob", "pause", "is paused")
    cards = [await approved(world, provider) for provider in ("digicert", "payvalida")]
    for card in cards:
        await world.reads(card, "On hold: Cancelling at all providers is paused")
    await typed(world, "bob", "resume", "Cancelling at Payvalida is paused: late.")
    await world.reads(cards[0], "Outcome: cancelled")
    await world.reads(cards[1], "On hold: Cancelling at Payvalida is paused: late.")
    assert world.vendor("payvalida").sends == []


@pytest.mark.parametrize("words", ["pause digicert", "resume digicert"])
async def test_who_may_not_approve_may_not_stop_anything(world: World, words: str) -> None:
    await typed(world, "alice", words, "Only those who may approve")
    ((body,),) = rows(world.database, "SELECT body FROM event WHERE kind = 'pause_refused'")
    assert json.loads(body) == {
        "by": "T0NORTHWIND/U0ALICE",
        "action": words.split()[0],
        "provider": "digicert",
        "rule": "not_approver",
    }
    card = await approved(world, "digicert")
    await world.reads(card, "Outcome: cancelled")


@pytest.mark.parametrize("words", ["pause digcert it is down", "resume payvalid", "resume nonsense"])
async def test_a_misspelt_provider_is_not_taken_for_all(world: World, words: str) -> None:
    assert "Enabled:" in await typed(world, "bob", words, "There is no provider")
    assert announced(world, "paused") == []
    assert rows(world.database, "SELECT provider FROM pause") == []


async def test_what_is_not_paused_cannot_be_resumed_and_nobody_is_told(world: World) -> None:
    await typed(world, "bob", "pause payvalida late", "is paused")
    answer = await typed(world, "bob", "resume", "is not paused")
    assert "Cancelling at Payvalida is paused" in answer
    assert announced(world, "goes on") == []


async def test_a_pause_that_comes_while_the_order_is_looked_up_still_holds_the_cancel(world: World) -> None:
    vendor = world.vendor("digicert")
    card = await asked(world, "digicert", vendor.samples["cancellable"])
    seen = len(vendor.seen)
    vendor.fail_next(Fault.HANG, on="read")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await vendor.wait_until(lambda: len(vendor.seen) > seen)
    await typed(world, "bob", "pause digicert stop", "is paused")
    vendor.release()
    await world.reads(card, "On hold: Cancelling at DigiCert is paused: stop.")
    assert vendor.sends == []


# --- by itself ----------------------------------------------------------------------------------------


async def test_three_unknown_outcomes_in_a_row_pause_a_provider(quiet_world: World) -> None:
    world, vendor = quiet_world, quiet_world.vendor("payvalida")
    await world.start_bot(RECONCILE_AFTER="30s")
    vendor.fail_next(Fault.DROP, times=3)
    for _ in range(3):
        await world.reads(await approved(world, "payvalida", vendor.new_order()), "outcome unknown, checking")
    said = await everybody_reads(world, "Cancelling at Payvalida is paused, by the bot itself")
    assert "3 outcomes in a row are unknown" in said.readable
    assert "/cancel-order resume payvalida" in said.readable
    waiting = await approved(world, "payvalida", vendor.new_order())
    await world.reads(waiting, "On hold: Cancelling at Payvalida is paused: 3 outcomes in a row")
    assert len(vendor.sends) == 3
    await typed(world, "bob", "resume payvalida", "It goes on")
    await world.reads(waiting, "Outcome: cancelled")


async def test_an_outcome_that_is_known_begins_the_count_anew(quiet_world: World) -> None:
    world, vendor = quiet_world, quiet_world.vendor("payvalida")
    await world.start_bot(RECONCILE_AFTER="30s")
    for is_lost in (True, True, False, True, True):
        if is_lost:
            vendor.fail_next(Fault.DROP)
        card = await approved(world, "payvalida", vendor.new_order())
        await world.reads(card, "outcome unknown, checking" if is_lost else "Outcome: cancelled")
    assert announced(world, "paused") == []


async def test_a_complete_answer_that_proves_nothing_by_itself_pauses_nothing(world: World) -> None:
    """cPanel says no with a word that is also that of an order which is gone: a look-up tells which."""
    vendor = world.vendor("cpanel")
    vendor.fail_next(Fault.REJECT, times=4)
    for _ in range(4):
        await world.reads(await approved(world, "cpanel", vendor.new_order()), "refused by the provider")
    answers = rows(world.database, "SELECT body FROM event WHERE kind = 'answered'")
    assert {json.loads(body)["outcome"]["result"] for (body,) in answers} == {"unknown"}
    assert announced(world, "paused") == []


async def test_what_a_look_up_finds_out_begins_the_count_anew(world: World) -> None:
    vendor = world.vendor("payvalida")
    vendor.fail_next(Fault.LOSE_ANSWER, times=2)
    cards = [await approved(world, "payvalida", vendor.new_order()) for _ in range(2)]
    for card in cards:
        await world.reads(card, "Outcome: cancelled")
    assert rows(world.database, "SELECT unknowns FROM pause WHERE provider = 'payvalida'") == [(0,)]


# --- what operators see and do ------------------------------------------------------------------------


async def readiness(world: World) -> tuple[int, dict[str, object]]:
    assert world.bot
    url = f"http://127.0.0.1:{world.bot.port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.json()


async def test_a_paused_bot_is_ready_and_says_what_is_paused(world: World) -> None:
    assert await readiness(world) == (200, {"ready": True, "problems": []})
    await typed(world, "bob", "pause cpanel maintenance", "is paused")
    status, told = await readiness(world)
    assert (status, told["ready"], told["problems"]) == (200, True, [])
    assert "Cancelling at cPanel is paused: maintenance." in str(told["information"])


@pytest.fixture
def command(
    quiet_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run one command beside the bot; its code, and whatever it printed."""
    for name, value in quiet_world.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        said = capsys.readouterr()  # the bot beside it writes its log to the same stderr
        return int(ended.value.code or 0), said.out or said.err

    return run


async def test_an_operator_pauses_and_resumes_beside_the_running_bot(
    world: World, command: Callable[..., tuple[int, str]]
) -> None:
    code, told = await asyncio.to_thread(command, "pause", "digicert", "--reason", "their pages are down")
    assert code == 0
    assert "Cancelling at DigiCert is paused: their pages are down." in told
    card = await approved(world, "digicert")
    await world.reads(card, "On hold: Cancelling at DigiCert is paused: their pages are down.")
    await everybody_reads(world, "Cancelling at DigiCert is paused, by ")
    code, told = await asyncio.to_thread(command, "resume", "digicert")
    assert (code, told.splitlines()[-1]) == (0, "It goes on.")
    await world.reads(card, "Outcome: cancelled")


async def test_an_operator_is_told_about_a_provider_that_is_not_set_up(
    world: World, command: Callable[..., tuple[int, str]]
) -> None:
    code, told = await asyncio.to_thread(command, "pause", "nonsense")
    assert code == 1
    assert "There is no provider 'nonsense' set up here" in told
    assert rows(world.database, "SELECT provider FROM pause") == []


async def test_a_pause_outlives_a_restart(world: World) -> None:
    await typed(world, "bob", "pause digicert stop", "is paused")
    await world.stop_bot()
    await world.start_bot()
    card = await approved(world, "digicert")
    await world.reads(card, "On hold: Cancelling at DigiCert is paused: stop.")


async def test_every_process_on_a_database_keeps_to_a_pause(world: World) -> None:
    """Written by somebody else than the bot that would send."""
    store = Store(world.database)

    def stop(unit: Unit) -> None:
        unit.pauses.begin("digicert", "U0BOB", "stop")

    await store.write(stop)
    store.close()
    card = await approved(world, "digicert")
    await world.reads(card, "On hold: Cancelling at DigiCert is paused: stop.")
    assert world.vendor("digicert").sends == []


async def test_what_is_approved_expires_although_nothing_is_sent_meanwhile(quiet_world: World) -> None:
    """The first cancel was lost on its way; by the time that is proved, the provider is paused."""
    world, clock = quiet_world, Clock()
    await world.start_bot(clock, REQUEST_TTL="1h")
    world.vendor("digicert").fail_next(Fault.HANG_BEFORE, on="cancel")
    card = await approved(world, "digicert")
    await world.reads(card, "outcome unknown, checking")
    await typed(world, "bob", "pause digicert", "is paused")
    await later(world, clock, timedelta(hours=1, minutes=1))
    await world.reads(card, "Outcome: expired")


async def test_a_reason_that_repeats_a_secret_reference_is_published_nowhere(world: World) -> None:
    reference = world.vendor("servertastic").samples["cancellable"]
    await world.asked("alice", "servertastic", reference)
    await typed(world, "bob", f"pause servertastic order {reference}, is stuck", "token or key")
    assert [card for card in world.cards if reference in card.readable] == []
    assert not any(reference in body for (body,) in rows(world.database, "SELECT body FROM event"))
    assert rows(world.database, "SELECT provider FROM pause") == []
