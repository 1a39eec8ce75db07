"""Socket Mode: Slack's payloads over a WebSocket that the bot opens. Needs no public address."""

from __future__ import annotations

import asyncio
import time

from aiohttp import ClientSession
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.logs import get_logger
from bot.supervise import Supervisor

log = get_logger(__name__)


class SocketDoor:
    """One connection, renewed by Slack's own client; payloads that are being answered are waited for."""

    def __init__(self, app: AsyncApp, token: str, api_url: str, session: ClientSession) -> None:
        self._app = app
        web = AsyncWebClient(token=token, base_url=api_url, session=session, retry_handlers=[])
        self._client = SocketModeClient(app_token=token, web_client=web)
        self._client.socket_mode_request_listeners.append(self._receive)
        self._answers = Supervisor()
        self._is_open = True

    async def open(self) -> None:
        """Connect. Raises `SlackApiError` at once for a token that can never work: Slack's client would
        try it for ever."""
        answer = await self._client.web_client.apps_connections_open(app_token=self._client.app_token)
        self._client.wss_uri = str(answer["url"])
        await self._client.connect()

    async def is_connected(self) -> bool:
        return await self._client.is_connected()

    async def close(self, grace: float) -> None:
        """Take nothing new, answer what was taken, then hang up: Slack's client would not wait."""
        self._is_open = False
        self._client.auto_reconnect_enabled = False
        await self._answers.stop(grace)
        await self._client.close()

    async def _receive(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        if self._is_open:
            self._answers.start(self._answer(client, request), name="socket payload")

    async def _answer(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        started = time.time()
        try:
            response = await run_async_bolt_app(self._app, request)
            await send_async_response(client, request, response, started)
        except (SlackApiError, ConnectionError, asyncio.TimeoutError) as problem:
            log.warning("answer_not_delivered", why=type(problem).__name__)
