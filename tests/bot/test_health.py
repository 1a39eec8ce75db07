"""`/livez` and `/readyz`: alive whatever happens around it, ready only when it can do its work."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.app import Bot
from bot.health import Health
from bot.store import schema
from tests.conftest import World
from tests.past_the_bot import change, gone


@pytest.fixture
def transport() -> str:
    return "http"


on_either = pytest.mark.parametrize("storage", ["sqlite", "postgres"])


async def get(port: int, page: str) -> tuple[int, Any, str]:
    """Status, JSON and raw text."""
    url = f"http://127.0.0.1:{port}{page}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        text = await response.text()
        assert "Server" not in response.headers
        return response.status, json.loads(text), text


async def ready(world: World, status: int = 503) -> str:
    """What `/readyz` says, once it answers so. Never a secret, and `/livez` is fine throughout."""
    assert world.bot is not None
    async with asyncio.timeout(30):
        while (found := await get(world.bot.port, "/readyz"))[0] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # it has to be asked; nothing tells us
    assert (await get(world.bot.port, "/livez"))[:2] == (200, {"alive": True})
    secrets = world.settings().secret_values()
    assert secrets
    assert [secret for secret in secrets if secret in found[2]] == []
    assert found[1]["ready"] is (status == 200)
    return "; ".join(found[1]["problems"])


async def test_a_bot_in_good_health_is_alive_and_ready(world: World) -> None:
    assert await ready(world, 200) == ""


async def test_each_problem_is_told_and_all_of_them(tmp_path: Path) -> None:
    health, site = Health(), web.Application()

    async def says(text: str = "") -> str:
        return text

    health.add_to(site)
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        assert await get(port, "/readyz") == (200, *_told([]))
        health.add(says)
        health.add(lambda: says("still starting"))
        health.add(lambda: says("not connected to Slack"))
        assert await get(port, "/readyz") == (503, *_told(["still starting", "not connected to Slack"]))
        assert (await get(port, "/livez"))[0] == 200
    finally:
        await runner.cleanup()


def _told(problems: list[str]) -> tuple[dict[str, Any], str]:
    told = {"ready": not problems, "problems": problems}
    return told, json.dumps(told)


async def test_a_check_that_fails_itself_is_a_problem_and_not_an_error_page() -> None:
    health = Health()

    async def fails() -> str:
        raise RuntimeError("with a secret in it")

    health.add(fails)
    assert await health.problems() == ["a check failed (RuntimeError)"]


async def test_a_check_that_hangs_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.health.PATIENCE", 0.05)
    health = Health()

    async def hangs() -> str:
        await asyncio.Event().wait()
        return ""

    health.add(hangs)
    assert await health.problems() == ["a check did not end in time"]


async def test_when_slack_takes_the_token_away_the_bot_is_not_ready(world: World) -> None:
    world.workspace.fail_next("chat.postMessage", "invalid_auth", times=1000)
    await world.person("alice").command(
        "/cancel-order", f"cpanel {world.vendor('cpanel').samples['cancellable']} twice"
    )
    await (await world.person("alice").modal()).submit()
    assert "Slack does not take messages (invalid_auth)" in await ready(world)
    world.workspace.faults.clear()
    await world.workspace.wait_until(lambda: world.cards)
    assert await ready(world, 200) == ""


@on_either
async def test_with_a_history_that_was_tampered_with_the_bot_is_not_ready(quiet_world: World) -> None:
    world = quiet_world
    await world.start_bot()
    await world.asked("alice", "cpanel", world.vendor("cpanel").samples["cancellable"])
    await world.stop_bot()
    tampered = "UPDATE event SET body = replace(body, 'twice', 'thrice') WHERE kind = 'requested'"
    assert change(world.database, tampered) == 1
    await world.start_bot()
    assert "history" in await ready(world)


@on_either
async def test_when_the_database_is_gone_the_bot_is_not_ready(world: World, tmp_path: Path) -> None:
    assert await ready(world, 200) == ""
    (tmp_path / "kept").mkdir()
    with gone(world.database, tmp_path / "kept"):
        assert "the database cannot be read" in await ready(world)


async def test_when_the_server_comes_back_the_bot_is_ready_again_by_itself(
    world: World, tmp_path: Path
) -> None:
    vendor = world.vendor("cpanel")
    card = await world.asked("alice", "cpanel", vendor.samples["cancellable"])
    with gone(world.database, tmp_path):
        assert "database" in await ready(world)
    assert await ready(world, 200) == ""
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: cancelled")
    assert len(vendor.sends) == 1


@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_while_slack_is_away_the_starting_bot_is_alive_and_says_why_it_is_not_ready(
    quiet_world: World, transport: str
) -> None:
    world = quiet_world
    world.workspace.outage()
    settings = replace(world.settings(), port=0)
    schema.upgrade(settings.database_url)
    bot = Bot(settings, transport=transport)
    starting = asyncio.create_task(bot.start())
    await world.workspace.wait_until(lambda: bot.port)
    assert await get(bot.port, "/readyz") == (503, *_told(["still starting"]))
    assert (await get(bot.port, "/livez"))[:2] == (200, {"alive": True})
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(aiohttp.ClientConnectionError):
        await get(bot.port, "/livez")
