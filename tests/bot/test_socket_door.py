"""What Socket Mode promises: it says at once what can never work, reconnects, and answers what it took."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from bot.doors import socket
from sandbox.slack import interactions
from sandbox.slack.sockets import SocketHub
from tests.conftest import World


@pytest.fixture
def transport() -> str:
    return "socket"


async def readiness(world: World) -> tuple[int, list[str]]:
    assert world.bot is not None
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{world.bot.port}/readyz") as response,
    ):
        return response.status, (await response.json())["problems"]


async def ready(world: World, status: int) -> list[str]:
    """What `/readyz` complains about, once it answers so."""
    async with asyncio.timeout(10):
        while (found := await readiness(world))[0] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # it has to be asked; nothing tells us
    return found[1]


def connections(world: World) -> int:
    return world.workspace.delivery.hub.connected


# --- opening ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["invalid_auth", "not_allowed_token_type", "token_revoked"])
async def test_a_token_that_can_never_work_is_given_up_at_once(quiet_world: World, error: str) -> None:
    quiet_world.workspace.fail_next("apps.connections.open", error, times=100)
    nobody: Any = None
    async with aiohttp.ClientSession() as session, asyncio.timeout(2):
        door = socket.SocketDoor(nobody, "xapp-1", quiet_world.settings().slack_api_url, session)
        with pytest.raises(SlackApiError, match=error):
            await door.open()
        assert not await door.is_connected()


@pytest.mark.parametrize("trouble", ["internal_error", "ratelimited", "drop", "fatal_error"])
async def test_slack_having_a_bad_moment_does_not_end_the_start(
    quiet_world: World, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "FIRST_PAUSE", 0.01)
    quiet_world.workspace.fail_next("apps.connections.open", trouble, times=2)
    await quiet_world.start_bot()
    assert connections(quiet_world) == 1
    assert await readiness(quiet_world) == (200, [])


async def test_a_server_error_without_json_does_not_end_the_start(
    quiet_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "FIRST_PAUSE", 0.01)
    quiet_world.workspace.fail_next("apps.connections.open", "internal_error", status=503, times=2)
    await quiet_world.start_bot()
    assert connections(quiet_world) == 1


# --- staying connected ------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["refresh_requested", "warning", "link_disabled"])
async def test_the_bot_reconnects_when_slack_asks_it_to(world: World, reason: str) -> None:
    hub = world.workspace.delivery.hub
    (before,) = hub._connections
    await world.workspace.disconnect_sockets(reason)
    await world.workspace.wait_until(lambda: hub.connected == 1 and before not in hub._connections)
    answer = await world.person("alice").command("/cancel-order", "help")
    assert answer.ok
    assert "/cancel-order" in answer.text
    assert await ready(world, 200) == []


async def test_while_it_is_not_connected_the_bot_is_not_ready(
    quiet_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "PING", 0.3)
    world = quiet_world
    await world.start_bot()
    assert await readiness(world) == (200, [])
    world.workspace.fail_next("apps.connections.open", "internal_error", times=1000)
    world.workspace.delivery.hub.drop()
    assert await ready(world, 503) == ["not connected to Slack"]
    world.workspace.faults.clear()
    await world.workspace.wait_until(lambda: connections(world) == 1, 20)
    assert await ready(world, 200) == []


async def test_an_address_that_failed_is_not_dialled_again(
    quiet_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slack's tickets are good once, and not for long: the next try asks for a new one."""
    monkeypatch.setattr(socket, "PING", 0.3)
    world = quiet_world
    await world.start_bot()
    given: list[str] = []
    real = SocketHub.open

    def spent_at_first(hub: SocketHub) -> str:
        given.append(real(hub))
        if len(given) == 1:
            hub._tickets.clear()
        return given[-1]

    monkeypatch.setattr(SocketHub, "open", spent_at_first)
    await world.workspace.disconnect_sockets()
    await world.workspace.wait_until(lambda: len(given) > 1 and connections(world) == 1)


# --- answering --------------------------------------------------------------------------------------


async def test_what_is_being_answered_when_the_bot_is_told_to_stop_is_answered(world: World) -> None:
    """The form is asked for while Slack is slow, so that the command is still open when the bot stops."""
    world.workspace.fail_next("views.open", "hang")
    asked = asyncio.create_task(world.person("alice").command("/cancel-order"))
    await world.workspace.wait_until(lambda: world.workspace.faults.hanging == 1)
    stopping = asyncio.create_task(world.stop_bot())
    await asyncio.sleep(0)
    assert not asked.done()
    world.workspace.release()
    assert (await asked).ok
    await stopping
    assert connections(world) == 0


async def test_a_payload_of_odd_shape_is_left_unanswered_and_the_next_is_served(world: World) -> None:
    card = await world.asked("alice", "cpanel", world.vendor("cpanel").samples["cancellable"])
    payload: dict[str, Any] = interactions.message_click(
        world.workspace, world.workspace.member("bob"), card, {"action_id": "approve", "value": "x"}, {}
    )
    world.workspace.ack_timeout = 0.2
    every: list[dict[str, Any]] = [{"actions": None}, {"actions": []}, {"user": 5}, {"view": "x"}]
    for odd in every:
        assert not (await world.workspace.raw_interaction(json.loads(json.dumps(payload)) | odd)).ok
    world.workspace.ack_timeout = 3.0
    assert (await world.person("alice").command("/cancel-order", "help")).ok


async def test_an_event_that_nobody_asked_for_is_acknowledged(world: World) -> None:
    event = {"type": "event_callback", "api_app_id": world.workspace.app_id, "event": {"type": "app_mention"}}
    assert (await world.workspace.delivery.send("events_api", event, accepts=False)).ok
