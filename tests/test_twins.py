"""Two bots with a database each, by mistake on one Slack app: Slack hands each click to either of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.doors import twins
from bot.doors.socket import SocketDoor
from sandbox.slack.sockets import SocketHub
from tests.bot.test_socket_door import readiness, ready
from tests.conftest import World

ANOTHER = "another bot is connected to the same Slack app"


@pytest.fixture
def transport() -> str:
    return "socket"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What Slack says about connections, in order. Nobody waits two minutes here."""
    monkeypatch.setattr(twins, "PATIENCE", 0.05)
    told: list[int] = []
    hello = SocketHub._hello

    def noted(hub: SocketHub) -> Any:
        said = hello(hub)
        told.append(said["num_connections"])
        return said

    monkeypatch.setattr(SocketHub, "_hello", noted)
    return told


@pytest.fixture
async def twin(quiet_world: World, tmp_path: Path) -> AsyncIterator[World]:
    """Another bot in the same town, with a database of its own. Not started yet."""
    folder = tmp_path / "twin"
    folder.mkdir()
    other = World(quiet_world.town, folder, "socket")
    try:
        yield other
    finally:
        await other.stop_bot()


async def looked(looks: list[int], times: int) -> None:
    async with asyncio.timeout(10):
        while len(looks) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # nothing tells us


async def test_two_bots_on_one_app_are_noticed_until_one_of_them_is_gone(
    quiet_world: World, twin: World, looks: list[int]
) -> None:
    await quiet_world.start_bot()
    assert await readiness(quiet_world) == (200, [])
    await twin.start_bot()
    (complaint,) = await ready(twin, 503)
    assert complaint.startswith(ANOTHER)
    await quiet_world.stop_bot()
    assert await ready(twin, 200) == []


async def test_the_older_one_learns_of_it_when_slack_refreshes_its_connection(
    quiet_world: World, twin: World, looks: list[int]
) -> None:
    await quiet_world.start_bot()
    (connection,) = quiet_world.workspace.delivery.hub._connections
    await twin.start_bot()
    await connection.socket.send_json({"type": "disconnect", "reason": "refresh_requested"})
    for bot in (quiet_world, twin):
        (complaint,) = await ready(bot, 503)
        assert complaint.startswith(ANOTHER)


async def test_the_old_process_of_a_deploy_is_no_twin(
    quiet_world: World, twin: World, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = asyncio.Event()
    monkeypatch.setattr(asyncio, "sleep", _only_after(gone, twins.PATIENCE))
    await quiet_world.start_bot()
    await twin.start_bot()
    assert looks == [1, 2]
    await quiet_world.stop_bot()
    gone.set()
    await looked(looks, 3)
    assert looks == [1, 2, 2]
    assert await readiness(twin) == (200, [])


def _only_after(gone: asyncio.Event, patience: float) -> Any:
    sleep = asyncio.sleep

    async def wait(seconds: float) -> None:
        if seconds == patience:
            await gone.wait()
        await sleep(seconds)

    return wait


async def test_a_bot_that_is_alone_asks_once_at_most_however_often_slack_refreshes(
    quiet_world: World, looks: list[int]
) -> None:
    await quiet_world.start_bot()
    hub = quiet_world.workspace.delivery.hub
    for _ in range(5):
        (before,) = hub._connections
        await quiet_world.workspace.disconnect_sockets("refresh_requested")
        await quiet_world.workspace.wait_until(
            lambda before=before: hub.connected == 1 and before not in hub._connections  # type: ignore[misc]
        )
    assert (await quiet_world.person("alice").command("/cancel-order", "help")).ok
    assert await readiness(quiet_world) == (200, [])
    assert set(looks) == {1}


@pytest.mark.parametrize("trouble", ["internal_error", "drop", "ratelimited"])
async def test_when_it_cannot_look_it_accuses_nobody_and_looks_again(
    quiet_world: World, twin: World, looks: list[int], trouble: str
) -> None:
    await quiet_world.start_bot()
    await twin.start_bot()
    quiet_world.workspace.fail_next("apps.connections.open", trouble, times=3)
    (complaint,) = await ready(twin, 503)
    assert complaint.startswith(ANOTHER)


@pytest.mark.parametrize("said", [{}, {"num_connections": None}, {"num_connections": "many"}])
async def test_what_slack_does_not_say_is_no_complaint(
    quiet_world: World, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]
) -> None:
    monkeypatch.setattr(SocketHub, "_hello", lambda _: {"type": "hello", **said})
    await quiet_world.start_bot()
    assert (await quiet_world.person("alice").command("/cancel-order", "help")).ok
    assert await readiness(quiet_world) == (200, [])


async def test_processes_that_share_a_database_are_no_twins(quiet_world: World, looks: list[int]) -> None:
    """With Postgres there may be as many as anybody likes."""
    nobody: Any = None
    token, url = quiet_world.workspace.app_token, quiet_world.settings().slack_api_url
    async with aiohttp.ClientSession() as session:
        doors = [SocketDoor(nobody, token, url, session, is_alone=False) for _ in range(2)]
        for door in doors:
            await door.open()
        await asyncio.sleep(5 * twins.PATIENCE)  # nothing is to happen
        assert [door.problem for door in doors] == ["", ""]
        assert looks == [1, 2]
        for door in doors:
            await door.close(1)


# --- what people see of it ------------------------------------------------------------------------


async def test_a_click_that_reaches_the_other_bot_is_answered_and_the_next_one_counts(
    quiet_world: World, twin: World
) -> None:
    world, vendor = quiet_world, quiet_world.vendor("payvalida")
    await world.start_bot()
    reference = vendor.samples["cancellable"]
    card = await world.asked("alice", "payvalida", reference)
    await twin.start_bot()
    for who in ("bob", "carol"):
        before, screen = len(world.person(who).ephemerals()), world.card(card).snapshot()
        for _ in range(2):  # Slack takes turns
            assert (await world.person(who).click(screen, "Approve")).ok
        await world.workspace.wait_until(lambda who=who, n=before: len(world.person(who).ephemerals()) > n)  # type: ignore[misc]
        told = [message.text for message in world.person(who).ephemerals()]
        assert any("not known here. It may belong to another bot" in text for text in told)
    await world.reads(card, "Outcome: cancelled")
    assert vendor.sends == [reference]
