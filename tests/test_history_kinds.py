"""What an auditor has to find in the history, written there by the bot itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import World
from tests.past_the_bot import rows


@pytest.fixture
def transport() -> str:
    return "socket"


def events(world: World, kind: str) -> list[dict[str, Any]]:
    found = rows(world.database, "SELECT body FROM event WHERE kind = ? ORDER BY seq", kind)
    return [json.loads(body) for (body,) in found]


async def test_everything_that_happens_is_in_the_history_with_its_reason(world: World) -> None:
    vendor = world.vendor("digicert")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    await world.approve("alice", card)
    await world.approve("gina", card)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: cancelled")
    refused = events(world, "attempt_refused")
    assert [(one["action"], one["rule"]) for one in refused] == [
        ("approve", "own_request"),
        ("approve", "not_approver"),
    ]
    assert refused[1]["why"] == "You cannot decide on this request: you are not on the list of approvers."
    assert all(one["why"] for one in events(world, "approved"))
    (permit,) = events(world, "permitted")
    assert [(one["answer"], bool(one["why"])) for one in permit["judged"]] == [("eligible", True)] * 2
    (answer,) = events(world, "answered")
    assert (answer["outcome"]["result"], answer["outcome"]["code"]) == ("accepted", "http_204")
    assert events(world, "followed_up")[-1]["outcome"]["result"] == "cancelled"


async def test_a_denial_says_why_the_person_counts(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    await world.person("bob").click(world.card(card), "Deny")
    form = await world.person("bob").modal()
    form.fill({"What is wrong with it?": "Too late to be useful"})
    assert (await form.submit()).ok
    (denied,) = events(world, "denied")
    assert denied["why"]


async def test_whoever_may_not_ask_is_in_the_history_and_what_they_typed_is_not(quiet_world: World) -> None:
    world = quiet_world
    await world.start_bot(REQUESTERS="U0ALICE")
    reference = world.vendor("servertastic").samples["cancellable"]
    await world.person("bob").command("/cancel-order", f"servertastic {reference} twice")
    form = await world.person("bob").modal()
    await form.submit()
    (refused,) = events(world, "ask_refused")
    assert (refused["rule"], refused["provider"], refused["by"]["user"]) == (
        "not_requester",
        "servertastic",
        "U0BOB",
    )
    assert reference not in json.dumps(refused)


async def test_an_order_that_is_dealt_with_already_is_noted_as_refused(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    await world.asked("alice", "digicert", reference)
    await world.person("bob").command("/cancel-order", f"digicert {reference} twice")
    form = await world.person("bob").modal()
    await form.submit()
    assert [one["rule"] for one in events(world, "ask_refused")] == ["duplicate"]


async def test_start_and_stop_carry_a_hash_of_the_settings_that_decide(quiet_world: World) -> None:
    world = quiet_world
    for time_to_live in ("24h", "2h"):
        await world.start_bot(REQUEST_TTL=time_to_live)
        await world.stop_bot()
    started, stopped = events(world, "started"), events(world, "stopped")
    assert started == stopped
    assert len({one["settings"] for one in started}) == 2
    assert started[0]["settings"] == world.settings().fingerprint()
    assert (started[0]["web"], started[0]["worker"]) == (True, True)
