"""The smallest bot that does everything: a command, a button, a form, a Home tab. Over both transports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from sandbox.slack.server import SlackServer
from sandbox.slack.workspace import Workspace

MANIFEST: dict[str, Any] = {
    "display_information": {"name": "Tiny"},
    "features": {
        "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True},
        "bot_user": {"display_name": "tiny"},
        "slash_commands": [{"command": "/ask", "description": "Ask", "should_escape": True}],
        "shortcuts": [
            {"name": "Ask", "type": "global", "callback_id": "ask", "description": "Ask"},
            {"name": "Ask this", "type": "message", "callback_id": "ask_this", "description": "Ask"},
        ],
    },
    "oauth_config": {
        "scopes": {
            "bot": [
                "app_mentions:read",
                "channels:read",
                "chat:write",
                "commands",
                "im:history",
                "im:write",
                "usergroups:read",
                "users:read",
            ]
        }
    },
    "settings": {
        "event_subscriptions": {
            "bot_events": ["app_home_opened", "app_mention", "message.im", "subteam_members_changed"]
        },
        "interactivity": {"is_enabled": True},
        "socket_mode_enabled": True,
    },
}


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def button(text: str, value: str, action_id: str = "yes", **more: Any) -> dict[str, Any]:
    return {"type": "button", "action_id": action_id, "text": plain(text), "value": value, **more}


def field(block_id: str, label: str, **more: Any) -> dict[str, Any]:
    element = {"type": "plain_text_input", "action_id": "text", **more}
    return {"type": "input", "block_id": block_id, "label": plain(label), "element": element}


def modal(*blocks: dict[str, Any], title: str = "Ask", **more: Any) -> dict[str, Any]:
    base = {"type": "modal", "callback_id": "form", "title": plain(title), "submit": plain("Send")}
    return {**base, "blocks": list(blocks), **more}


def kinds() -> dict[str, Any]:
    options = [{"text": plain(kind.title()), "value": kind} for kind in ("order", "refund")]
    element = {
        "type": "static_select",
        "action_id": "kind",
        "placeholder": plain("Choose"),
        "options": options,
    }
    return {
        "type": "input",
        "block_id": "kind",
        "label": plain("Kind"),
        "dispatch_action": True,
        "element": element,
    }


def card(text: str, pressable: bool = True) -> list[dict[str, Any]]:
    sure = {"title": plain("Sure?"), "text": plain("Really?"), "confirm": plain("Yes"), "deny": plain("No")}
    buttons = {"type": "actions", "elements": [button("Yes, please", text, confirm=sure)]}
    return [section(f"*Asked:* {text}"), *([buttons] if pressable else [])]


def build(client: AsyncWebClient, signing_secret: str) -> AsyncApp:
    app = AsyncApp(client=client, signing_secret=signing_secret)

    @app.command("/ask")
    async def ask(ack: Any, command: dict[str, Any], client: AsyncWebClient) -> None:
        if command["text"] == "help":
            await ack("Type /ask.")
            return
        await ack()
        await client.views_open(trigger_id=command["trigger_id"], view=modal(kinds(), field("why", "Why")))

    @app.action("kind")
    async def kind(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        view = body["view"]
        label = f"{body['actions'][0]['selected_option']['text']['text']} ID"
        blocks = [kinds(), field("reference", label), field("why", "Why")]
        await client.views_update(view_id=view["id"], hash=view["hash"], view=modal(*blocks))

    @app.view("form")
    async def submit(ack: Any, view: dict[str, Any], body: dict[str, Any], client: AsyncWebClient) -> None:
        why = view["state"]["values"]["why"]["text"]["value"]
        if why == "because":
            await ack(response_action="errors", errors={"why": "That is no reason."})
            return
        await ack()
        text = f"<@{body['user']['id']}> asks: {why}"
        await client.chat_postMessage(channel="C0APPROVALS", text=text, blocks=card(why))

    @app.action("yes")
    async def yes(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        channel, ts, user = body["channel"]["id"], body["message"]["ts"], body["user"]["id"]
        value = body["actions"][0]["value"]
        await client.chat_update(channel=channel, ts=ts, text="Done.", blocks=card(value, pressable=False))
        await client.chat_postMessage(channel=channel, thread_ts=ts, text=f"<@{user}> said yes.")
        await client.chat_postEphemeral(channel=channel, user=user, text="Thank you.")

    @app.shortcut("ask")
    async def shortcut(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=modal(field("why", "Why")))

    @app.shortcut("ask_this")
    async def this(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        text = body["message"]["text"]
        await client.views_open(
            trigger_id=body["trigger_id"], view=modal(field("why", "Why", initial_value=text))
        )

    @app.event("app_home_opened")
    async def home(event: dict[str, Any], client: AsyncWebClient) -> None:
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": [section("Hello")]})

    @app.event("app_mention")
    async def mention(event: dict[str, Any], client: AsyncWebClient) -> None:
        await client.chat_postMessage(channel=event["user"], text="You called?")

    return app


@dataclass(frozen=True)
class Running:
    """A workspace with a bot in it."""

    workspace: Workspace
    server: SlackServer
    client: AsyncWebClient
    app: AsyncApp


async def start(
    stack: AsyncExitStack,
    transport: str,
    manifest: dict[str, Any] | None = None,
    clock: Callable[[], float] | None = None,
    ack_timeout: float = 3.0,
) -> Running:
    more: dict[str, Any] = {"clock": clock} if clock else {}
    workspace = Workspace(manifest or MANIFEST, ack_timeout=ack_timeout, **more)
    server = SlackServer(workspace)
    await server.start()
    stack.push_async_callback(server.stop)
    client = AsyncWebClient(token=workspace.bot_token, base_url=server.api_url)
    app = build(client, workspace.signing_secret)
    join = {"socket": _by_socket, "http": _by_http}[transport]
    stack.push_async_callback(await join(workspace, server, app))
    await workspace.bot_connected()
    return Running(workspace, server, client, app)


async def _by_socket(
    workspace: Workspace, server: SlackServer, app: AsyncApp
) -> Callable[[], Awaitable[None]]:
    web_client = AsyncWebClient(token=workspace.app_token, base_url=server.api_url)
    handler = AsyncSocketModeHandler(app, workspace.app_token, web_client=web_client)
    await handler.connect_async()  # type: ignore[no-untyped-call]
    close: Callable[[], Awaitable[None]] = handler.close_async
    return close


async def _by_http(workspace: Workspace, server: SlackServer, app: AsyncApp) -> Callable[[], Awaitable[None]]:
    del server

    async def receive(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    site = web.Application()
    site.router.add_post("/slack/events", receive)
    runner = web.AppRunner(site, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    workspace.deliver_to_http(f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events")
    return runner.cleanup
