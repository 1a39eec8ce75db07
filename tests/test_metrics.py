"""`GET /metrics`: is it stuck, is anyone waiting, how slow; and never an ID or a secret."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.model import OPEN
from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.conftest import World
from tests.past_the_bot import gone
from tests.test_batches import asked as list_asked
from tests.test_batches import new_orders

Labels = dict[str, str]


class Page:
    """One answer of `/metrics`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        (found,) = [
            sample.value
            for sample in self.samples
            if sample.name == f"countersign_{name}" and sample.labels == labels
        ]
        return found


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the database says is not kept for seconds."""
    monkeypatch.setattr("bot.metrics.CACHED", 0.0)


async def page(world: World) -> Page:
    assert world.bot
    url = f"http://127.0.0.1:{world.bot.port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        assert "Server" not in response.headers
        return Page(await response.text())


async def cancelled(world: World, provider: str) -> Message:
    card = await world.asked("alice", provider, world.vendor(provider).samples["cancellable"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    return await world.reads(card, "Outcome: cancelled")


async def test_what_waits_and_what_became_of_requests_is_counted(world: World) -> None:
    await cancelled(world, "digicert")
    waiting = await world.asked("alice", "payvalida", world.vendor("payvalida").samples["cancellable"])
    await world.approve("gina", waiting)
    await world.said("gina", "not on the list of approvers")
    told = await page(world)
    assert told.value("ready") == 1
    assert told.value("requests_open", state="pending") == 1
    assert told.value("request_oldest_seconds", state="pending") > 0
    assert told.value("requests_open", state="unknown") == 0
    assert {s.labels["state"] for s in told.families["countersign_requests_open"].samples} == set(OPEN)
    assert told.value("requests_total", provider="digicert") == 1
    assert told.value("attempts_total", provider="digicert") == 1
    assert told.value("outcomes_total", provider="digicert", state="cancelled") == 1
    assert told.value("refused_total", rule="not_approver") == 1
    for spread in ("time_to_quorum_seconds", "time_to_outcome_seconds"):
        assert told.value(f"{spread}_count") == 1
        assert told.value(f"{spread}_bucket", le="+Inf") == 1
        assert told.value(f"{spread}_sum") > 0
    assert told.value("history_events") > 8
    assert told.value("slack_last_success_timestamp_seconds") > 1e9


async def test_orders_on_a_list_are_counted_and_so_is_a_refused_click_on_it(world: World) -> None:
    card = await list_asked(world, "\n".join(new_orders(world, 3)))
    await world.approve("alice", card)
    await world.said("alice", "somebody else has to approve it")
    told = await page(world)
    assert told.value("requests_open", state="pending") == 3
    assert told.value("refused_total", rule="own_request") == 1
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: 3 cancelled")
    told = await page(world)
    assert told.value("requests_total", provider="digicert") == 3
    assert told.value("outcomes_total", provider="digicert", state="cancelled") == 3
    assert told.value("time_to_quorum_seconds_count") == 3
    assert told.value("refused_total", rule="own_request") == 1


async def test_calls_to_providers_are_measured(world: World) -> None:
    world.vendor("payvalida").fail_next(Fault.DROP)
    card = await world.asked("alice", "payvalida", world.vendor("payvalida").samples["cancellable"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "outcome unknown, checking")
    told = await page(world)
    assert told.value("requests_open", state="unknown") == 1
    assert told.value("provider_results_total", provider="payvalida", call="cancel", result="unknown") == 1
    looked_up = {"provider": "payvalida", "call": "look_up"}
    assert told.value("provider_results_total", **looked_up, result="cancellable") == 2
    assert told.value("provider_call_seconds_count", **looked_up) == 2


async def test_what_slack_does_not_take_is_seen(world: World) -> None:
    world.workspace.fail_next("chat.postMessage", "invalid_auth", times=1000)
    alice = world.person("alice")
    await alice.command("/cancel-order", f"digicert {world.vendor('digicert').samples['cancellable']} twice")
    assert (await (await alice.modal()).submit()).ok
    await world.workspace.wait_until(  # the second comes when the first is known to have failed
        lambda: [call.method for call in world.workspace.calls].count("chat.postMessage") > 1
    )
    told = await page(world)
    assert told.value("outbox_messages") >= 1
    assert told.value("outbox_oldest_seconds") > 0
    assert told.value("slack_failures_total", method="chat.postMessage", kind="auth") >= 1


async def test_a_pause_is_seen(world: World) -> None:
    assert (await page(world)).value("paused", provider="digicert") == 0
    await world.person("bob").command("/cancel-order", "pause digicert late")
    await world.said("bob", "is paused")
    told = await page(world)
    assert told.value("paused", provider="digicert") == 1
    assert told.value("paused", provider="all") == 0


async def test_a_restart_loses_no_count(world: World) -> None:
    await cancelled(world, "digicert")
    before = await page(world)
    await world.stop_bot()
    await world.start_bot()
    after = await page(world)
    assert after.value("outcomes_total", provider="digicert", state="cancelled") == 1
    for name in ("time_to_quorum_seconds_sum", "time_to_outcome_seconds_sum"):
        assert after.value(name) == before.value(name)


async def test_no_id_and_no_secret_is_in_it(world: World) -> None:
    card = await cancelled(world, "digicert")
    told = await page(world)
    request_id = card.readable.rsplit("Request ", 1)[1][:8]
    never = ["U0", "T0", "C0", request_id, world.vendor("digicert").samples["cancellable"]]
    found = [one for one in (*never, *world.settings().secret_values()) if one in told.text]
    assert found == []


@pytest.mark.parametrize("storage", ["sqlite", "postgres"])
@pytest.mark.parametrize("transport", ["http"])
async def test_without_a_database_the_page_says_so_and_nothing_old(world: World, transport: str) -> None:
    assert (await page(world)).value("database_up") == 1
    (world.folder / "kept").mkdir()
    with gone(world.database, world.folder / "kept"):
        told = await page(world)
    assert told.value("database_up") == 0
    assert told.value("ready") == 0
    assert "countersign_requests_open" not in told.families


async def test_a_long_history_is_counted_in_parts_and_told_when_it_is_complete(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cancelled(world, "digicert")
    monkeypatch.setattr("bot.metrics.AT_ONCE", 2)
    monkeypatch.setattr("bot.metrics.PER_SCRAPE", 6)
    assert "countersign_outcomes" not in (await page(world)).families
    for _ in range(10):
        told = await page(world)
    assert told.value("outcomes_total", provider="digicert", state="cancelled") == 1
