"""What the log says while people use the bot: one line for each thing that happens, and about what."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from bot.logs import configure
from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.conftest import World
from tests.past_the_bot import rows

FORGED = 'twice\n{"event": "approved", "person": "U0DAN"}\r\x1b[2J'


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Where the log of this process goes, as operators have it."""
    root = logging.getLogger()
    handlers, level, stream = root.handlers[:], root.level, io.StringIO()
    configure("INFO", "json", (), stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    for name in ("httpx", "httpcore", "slack_sdk", "slack_bolt", "aiohttp.access", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def request_of(world: World) -> str:
    ((request_id,),) = rows(world.database, "SELECT id FROM request")
    return str(request_id)


async def cancelled(world: World) -> Message:
    vendor = world.vendor("payvalida")
    card = await world.asked("alice", "payvalida", vendor.samples["cancellable"], FORGED)
    vendor.fail_next(Fault.LOSE_ANSWER)
    await world.approve("gina", card)
    await world.said("gina", "not on the list")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    return await world.reads(card, "Outcome: cancelled")


async def test_each_event_is_one_line_with_the_request_and_the_person(log: io.StringIO, world: World) -> None:
    await cancelled(world)
    request_id = request_of(world)
    kinds = [
        kind
        for (kind,) in rows(
            world.database, "SELECT kind FROM event WHERE request_id = ? ORDER BY seq", request_id
        )
    ]
    told = [line for line in lines(log) if line["logger"] == "bot.store.store" and "request" in line]
    assert [line["event"] for line in told] == kinds
    assert {line["request"] for line in told} == {request_id}
    people = {
        (line["event"], line["person"])
        for line in told
        if line["event"] in {"requested", "approved", "attempt_refused"}
    }
    assert people == {
        ("requested", "U0ALICE"),
        ("attempt_refused", "U0GINA"),
        ("approved", "U0BOB"),
        ("approved", "U0CAROL"),
    }
    assert [line["rule"] for line in told if line["event"] == "attempt_refused"] == ["not_approver"]


async def test_whatever_the_attempt_leads_to_has_its_number(log: io.StringIO, world: World) -> None:
    await cancelled(world)
    attempts = {line["event"]: line.get("attempt") for line in lines(log) if "request" in line}
    assert {attempts[kind] for kind in ("permitted", "answered", "cancel_answered", "followed_up")} == {1}
    assert attempts["approved"] is None


async def test_what_goes_wrong_with_a_message_names_its_request(log: io.StringIO, world: World) -> None:
    world.workspace.fail_next("chat.postMessage", status=503)
    await world.asked("alice", "payvalida", world.vendor("payvalida").samples["cancellable"])
    postponed = [line for line in lines(log) if line["event"] == "delivery_postponed"]
    assert [line["request"] for line in postponed] == [request_of(world)]


async def test_a_click_that_fails_behind_the_door_names_who_clicked(
    log: io.StringIO, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    card = await world.asked("alice", "payvalida", world.vendor("payvalida").samples["cancellable"])
    monkeypatch.setattr("bot.workflow.Workflow.withdraw", broken)
    await world.person("alice").click(world.card(card), "Withdraw")
    await world.said("alice", "Something went wrong on our side")
    (failed,) = [line for line in lines(log) if line["event"] == "listener_failed"]
    assert (failed["person"], failed["request"]) == ("U0ALICE", request_of(world))


async def test_nothing_that_people_typed_makes_a_line_of_its_own(log: io.StringIO, world: World) -> None:
    await world.asked("alice", "payvalida", world.vendor("payvalida").samples["cancellable"], FORGED)
    await world.person("dan").command("/cancel-order", f"pause payvalida {FORGED}")
    await world.said("dan", "is paused")
    assert all(line.isprintable() for line in log.getvalue().splitlines())
    assert [line for line in lines(log) if line["event"] == "approved"] == []
