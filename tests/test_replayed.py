"""Signed bytes that somebody has seen and sends again, to a bot that has forgotten that it heard them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest

from tests.conftest import World
from tests.past_the_bot import rows
from tests.test_batches import asked as asked_for_a_list

Sent = tuple[bytes, dict[str, str]]


@pytest.fixture
def transport() -> str:
    return "http"


@pytest.fixture
def overheard() -> Iterator[list[Sent]]:
    """Everything that was sent to the bot, signatures included."""
    heard: list[Sent] = []
    post = aiohttp.ClientSession.post

    def and_listen(session: aiohttp.ClientSession, url: Any, **more: Any) -> Any:
        if "/slack/events" in str(url):
            heard.append((more["data"], dict(more["headers"])))
        return post(session, url, **more)

    with patch.object(aiohttp.ClientSession, "post", and_listen):
        yield heard


async def again_after_a_restart(world: World, sent: Sent) -> int:
    """How it was answered."""
    await world.stop_bot()
    await world.start_bot()
    assert world.bot
    url, (data, headers) = f"http://127.0.0.1:{world.bot.port}/slack/events", sent
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as response:
        return response.status


@pytest.mark.parametrize("is_list", [False, True], ids=["one order", "a list"])
async def test_a_form_that_is_sent_again_asks_for_nothing(
    world: World, overheard: list[Sent], is_list: bool
) -> None:
    orders = [world.vendor("digicert").new_order() for _ in range(2)]
    if is_list:
        card = await asked_for_a_list(world, "\n".join(orders))
    else:
        card = await world.asked("alice", "digicert", orders[0])
    form = next(sent for sent in reversed(overheard) if b"view_submission" in sent[0])
    await world.person("alice").click(world.card(card), "Withdraw")
    await world.reads(card, "withdrawn")
    before = rows(world.database, "SELECT count(*) FROM event WHERE request_id IS NOT NULL")
    assert await again_after_a_restart(world, form) == 200
    assert rows(world.database, "SELECT count(*) FROM event WHERE request_id IS NOT NULL") == before


@pytest.mark.parametrize("first", ["pause", "resume"])
async def test_a_pause_is_neither_begun_nor_ended_by_what_was_typed_before(
    world: World, overheard: list[Sent], first: str
) -> None:
    bob = world.person("bob")
    for verb in ("pause", "resume") if first == "pause" else ("pause", "resume", "pause"):
        await bob.command("/cancel-order", f"{verb} digicert")
    typed = next(sent for sent in overheard if f"text={first}".encode() in sent[0])
    paused = rows(world.database, "SELECT since FROM pause WHERE provider = 'digicert'")
    await again_after_a_restart(world, typed)
    assert rows(world.database, "SELECT since FROM pause WHERE provider = 'digicert'") == paused
