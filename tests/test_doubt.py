"""What must not be believed: stepped clocks, other accounts, second names, a disk that cannot write."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.commands import TakePermit
from bot.model import Permit, Request
from sandbox.slack.model import Message
from sandbox.vendors.digicert import DigiCertVendor
from sandbox.vendors.servertastic import ServertasticVendor
from sandbox.vendors.vendor import Fault
from tests.conftest import World
from tests.past_the_bot import change, connected, held, rows
from tests.test_asynchronous import Clock, later
from tests.test_restored_backup import OLDER, readiness


async def sent(world: World, provider: str, fault: Fault) -> Message:
    """A card whose cancel has reached the provider, which does with it what `fault` says."""
    vendor = world.vendor(provider)
    card = await world.asked("alice", provider, vendor.samples["cancellable"])
    vendor.fail_next(fault)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await vendor.wait_until(lambda: len(vendor.sends) == 1)
    return card


async def test_a_clock_that_steps_ahead_while_a_cancel_is_under_way_sends_nothing_twice(
    quiet_world: World,
) -> None:
    world, clock, vendor = quiet_world, Clock(), quiet_world.vendor("payvalida")
    await world.start_bot(clock=clock, PROVIDER_TIMEOUT="6s", RECONCILE_AFTER="7s")
    card = await sent(world, "payvalida", Fault.HANG_BEFORE)
    await world.reads(card, "Cancelling at Payvalida now")
    await later(world, clock, timedelta(minutes=10))  # past the lease and the quarantine
    assert "Cancelling at Payvalida now" in world.card(card).readable
    vendor.release()
    await world.reads(card, "Outcome: cancelled")
    assert len(vendor.sends) == 1


async def test_a_quarantine_is_not_shortened_by_a_clock_that_steps_ahead(quiet_world: World) -> None:
    world, clock, vendor = quiet_world, Clock(), quiet_world.vendor("payvalida")
    await world.start_bot(clock=clock, PROVIDER_TIMEOUT="1s", RECONCILE_AFTER="5s")
    card = await sent(world, "payvalida", Fault.HANG_BEFORE)
    await world.reads(card, "outcome unknown, checking")
    looked_up = len(vendor.seen)
    await later(world, clock, timedelta(minutes=10))
    await world.workspace.wait_until(lambda: len(world.cards) == 2 and world.cards[-1].buttons)
    about_it = [seen for seen in vendor.seen[looked_up:] if seen.order == vendor.samples["cancellable"]]
    assert about_it == [], "nobody looked while the first call may still be running"
    vendor.release()
    await world.reads(card, "Outcome: cancelled", timeout=20)
    assert len(vendor.sends) == 1


async def test_another_account_is_not_asked_what_became_of_a_cancel(quiet_world: World) -> None:
    world, vendor = quiet_world, quiet_world.vendor("digicert")
    await world.start_bot(RECONCILE_AFTER="3s")
    card = await sent(world, "digicert", Fault.DROP)
    await world.reads(card, "outcome unknown, checking")
    await world.stop_bot()
    other = DigiCertVendor()
    await other.start()
    await world.start_bot(DIGICERT_BASE_URL=other.base_url, RECONCILE_AFTER="3s")
    asked = await world.reads(card, "needs a person", timeout=20)
    assert "is not set up here any more" in asked.readable
    assert other.seen == []
    assert vendor.state_of(vendor.samples["cancellable"]) == "pending"
    await other.stop()


async def test_an_account_that_was_only_renamed_is_followed_to_the_end(quiet_world: World) -> None:
    world, vendor = quiet_world, quiet_world.vendor("digicert")
    assert isinstance(vendor, DigiCertVendor)
    await world.start_bot(RECONCILE_AFTER="3s")
    card = await sent(world, "digicert", Fault.LOSE_ANSWER)
    await world.reads(card, "outcome unknown, checking")
    await world.stop_bot()
    path = world.folder / "accounts.toml"
    path.write_text(
        f'[digicert.main]\nDIGICERT_BASE_URL = "{vendor.base_url}"\nDIGICERT_API_KEY = {{ env = "KEY" }}\n'
    )
    world.without = ("DIGICERT_API_KEY", "DIGICERT_BASE_URL", "DIGICERT_CANCEL_STATUS")
    await world.start_bot(ACCOUNTS_FILE=str(path), KEY=vendor.key, RECONCILE_AFTER="3s")
    await world.reads(card, "Outcome: cancelled", timeout=20)
    assert len(vendor.sends) == 1


async def test_one_order_under_two_names_is_cancelled_once(world: World) -> None:
    vendor = world.vendor("servertastic")
    first = await world.asked("alice", "servertastic", vendor.samples["cancellable"])
    second = await world.ask("dan", "servertastic", vendor.samples["by_reference"])
    ended = await world.reads(second, "cannot be cancelled")
    assert "is being dealt with already" in ended.readable
    for who in ("bob", "carol"):
        await world.approve(who, first)
    await world.reads(first, "Outcome: cancelled")
    assert len(vendor.sends) == 1


async def test_an_order_that_could_not_be_looked_up_at_first_is_not_sent_under_another_name_as_well(
    world: World,
) -> None:
    vendor = world.vendor("servertastic")
    assert isinstance(vendor, ServertasticVendor)
    vendor.lag = 300.0  # what is cancelled is shown as it was for minutes
    vendor.fail_next(Fault.HTML, on="read")
    first = await world.asked("alice", "servertastic", vendor.samples["cancellable"])
    assert "could not be asked" in world.card(first).readable
    second = await world.asked("dan", "servertastic", vendor.samples["by_reference"])
    for who in ("bob", "carol"):
        await world.approve(who, first)
    await world.reads(first, "accepted by the provider")
    for who in ("bob", "carol"):
        await world.approve(who, second)
    await world.reads(second, "On hold: this is also the order of request")
    assert len(vendor.sends) == 1


async def test_a_cancel_whose_permit_the_database_has_lost_needs_a_person(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover to a server that lacks the last commits, while the call was under way."""
    vendor = world.vendor("digicert")
    assert world.bot
    workflow = world.bot._worker._workflow
    take_permit = workflow.take_permit

    async def and_lose_it(request_id: str, command: TakePermit) -> Permit | None:
        with connected(world.database) as client:
            ((seq,),) = client.rows("SELECT max(seq) FROM event")
            (was,) = client.rows("SELECT version, state, body FROM request")
        permit = await take_permit(request_id, command)
        with connected(world.database) as client:
            client.change("DELETE FROM event WHERE seq > ?", seq)
            client.change("DELETE FROM permit")
            client.change("UPDATE request SET version = ?, state = ?, body = ?", *was)
        return permit

    monkeypatch.setattr(workflow, "take_permit", and_lose_it)
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    told = await world.reads(card, "needs a person")
    assert "the database has lost the record of that" in told.readable
    assert "the history does not verify" in (await readiness(world))[1]
    lost = json.loads(rows(world.database, "SELECT body FROM event WHERE kind = 'permit_lost'")[0][0])
    assert (lost["result"], len(vendor.sends)) == ("accepted", 1)
    await world.stop_bot()
    await world.start_bot()
    assert OLDER in (await readiness(world))[1], "a restart forgets nothing"


def in_line(world: World, others: int) -> list[asyncio.Task[None]]:
    """So many others that are to be written, each of which is tried for two seconds while nobody can."""
    assert world.bot
    store = world.bot._worker._workflow._store
    return [asyncio.create_task(store.write(lambda unit: unit.rewrite())) for _ in range(others)]


@pytest.mark.parametrize("others", [0, 1, 3])
async def test_a_click_that_cannot_be_stored_is_not_answered_with_ok_nor_stored_later(
    world: World, others: int
) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    with held(world.database):
        before = in_line(world, others)
        await asyncio.sleep(0)
        answer = await world.approve("bob", card)
    assert not answer.ok
    await asyncio.gather(*before, return_exceptions=True)
    await world.said("bob", "The database")  # when there is time for it
    await world.stop_bot()
    assert rows(world.database, "SELECT * FROM event WHERE kind = 'approved'") == []
    late = [problem for problem in world.workspace.problems if "acknowledged after" in problem]
    assert late == [], "nor by anybody else, too late"
    world.workspace.problems.clear()  # that there was no answer in time is the point


async def test_a_click_whose_commit_takes_too_long_is_not_answered_with_ok(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By nobody: Bolt asks whoever else listens to buttons when the first has not answered in time."""
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    assert world.bot
    workflow, done = world.bot._worker._workflow, asyncio.Event()
    approve = workflow.approve

    async def and_take_long(*clicked: Any) -> Request:
        after = await approve(*clicked)
        await done.wait()
        return after

    monkeypatch.setattr(workflow, "approve", and_take_long)
    with capture_logs() as log:
        answer = await world.approve("bob", card)
        assert not answer.ok
        async with asyncio.timeout(20):
            while not any(line["event"] == "answered_too_late" for line in log):  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # it tells nobody but its log that it has given up
    done.set()
    await world.stop_bot()
    assert [problem for problem in world.workspace.problems if "acknowledged after" in problem] == []
    world.workspace.problems.clear()


async def test_a_home_that_is_opened_while_the_database_is_busy_is_painted_when_it_is_not(
    world: World,
) -> None:
    """Slack was told that it arrived, so nobody sees an error or says it again."""
    with held(world.database):
        before = in_line(world, 2)
        await asyncio.sleep(0)
        looking = asyncio.create_task(world.person("bob").open_home(20))
        await asyncio.gather(*before, return_exceptions=True)  # four seconds
    await looking


async def test_a_no_of_which_a_look_up_shows_that_nothing_changed_is_a_refusal(world: World) -> None:
    vendor = world.vendor("payvalida")
    card = await world.asked("alice", "payvalida", vendor.samples["cancellable"])
    vendor.fail_next(Fault.REJECT)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "refused by the provider")
    assert len(vendor.sends) == 1, "the same no would come again"
    assert vendor.performed == []


@pytest.mark.parametrize(
    "tampering",
    [
        """UPDATE request SET body = replace(body, '"user":"U0BOB"', '"user":"U0DAN"')""",
        "UPDATE event SET body = replace(body, 'ordered twice', 'ordered wrong') WHERE kind = 'requested'",
        "UPDATE event SET kind = 'held' WHERE kind = 'order_read'",
        "DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)",
    ],
)
async def test_what_was_changed_behind_the_back_of_the_bot_is_not_sent(world: World, tampering: str) -> None:
    vendor = world.vendor("digicert")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    await world.approve("bob", card)
    await world.reads(card, "1 of 2")
    assert change(world.database, tampering) == 1
    looked_up = len(vendor.seen)
    with capture_logs() as log:
        await world.approve("carol", card)
        async with asyncio.timeout(10):
            while not any(line["event"] == "chain_broken" for line in log) and not vendor.sends:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # it tells nobody but its log
    assert len(vendor.seen) == looked_up + 1, "it was about to be sent"
    await world.reads(card, "the history does not verify")
    status, why = await readiness(world)
    assert (status, "the history does not verify" in why) == (503, True)
    assert vendor.sends == []


async def test_nothing_is_sent_when_what_was_known_of_the_history_is_gone(world: World) -> None:
    """Somebody cut it off and let it grow again; all of what it says about this request is true."""
    first = await world.asked("alice", "payvalida", world.vendor("payvalida").samples["cancellable"])
    for who in ("bob", "carol"):
        await world.approve(who, first)
    await world.reads(first, "Outcome: cancelled")
    cut = "DELETE FROM event WHERE seq >= (SELECT seq FROM event WHERE kind = 'quorum_reached')"
    assert change(world.database, cut) > 1
    vendor = world.vendor("digicert")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    with capture_logs() as log:
        for who in ("bob", "carol"):
            await world.approve(who, card)
        async with asyncio.timeout(10):
            while not any(line["event"] == "chain_broken" for line in log) and not vendor.sends:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # it tells nobody but its log
    assert vendor.sends == []
