"""Socket Mode: Slack's payloads over a WebSocket that the bot opens. Needs no public address."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from aiohttp import ClientError, ClientSession
from slack_bolt.adapter.socket_mode.async_internals import send_async_response
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.doors.bolt import answer, is_understood
from bot.doors.twins import Twins
from bot.logs import get_logger
from bot.slack import AUTH_ERRORS
from bot.supervise import Supervisor

log = get_logger(__name__)

NEVER = AUTH_ERRORS | {"not_allowed_token_type", "forbidden_team", "access_denied", "no_permission"}
"""Slack's answers to a token that will not work later either."""
LOST = (TimeoutError, ClientError, SlackClientError, OSError)
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
PING = 5.0
"""Seconds between two looks at whether the connection still lives."""
OURS = 2
"""Connections while they are counted: the one that is in use, and the one that asks."""
COUNTING = 10.0
"""Seconds for finding out how many connections there are."""
HANG_UP = 2.0
"""Seconds for Slack to say goodbye as well."""


class SocketDoor:
    """One connection, renewed by Slack's own client; payloads that are being answered are waited for."""

    def __init__(
        self, app: AsyncApp, token: str, api_url: str, session: ClientSession, is_alone: bool = False
    ) -> None:
        """`is_alone`: no other bot has any business with this Slack app."""
        self._app = app
        self._twins = Twins(self._others) if is_alone else None
        web = AsyncWebClient(token=token, base_url=api_url, session=session, retry_handlers=[])
        self._client = SocketModeClient(app_token=token, web_client=web, ping_interval=PING)
        self._session = self._client.aiohttp_client_session
        dialer = _EachUrlOnce(self._client, self._session)
        self._client.aiohttp_client_session = cast("ClientSession", dialer)
        self._client.socket_mode_request_listeners.append(self._receive)
        self._client.message_listeners.append(self._hear)
        self._answers = Supervisor()
        self._is_open = True

    async def open(self) -> None:
        """Connect, however long Slack is away. Raises `SlackApiError` at once for a token that can never
        work: Slack's client would try it for ever."""
        try:
            self._client.wss_uri = await self._address()
            await self._client.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await self._hang_up()
            raise
        if self._twins is not None:
            self._answers.keep_running("twins", self._twins.watch)

    async def is_connected(self) -> bool:
        return await self._client.is_connected()

    @property
    def problem(self) -> str:
        """What is wrong although we are connected: for `/readyz`."""
        return self._twins.problem if self._twins is not None else ""

    async def close(self, grace: float) -> None:
        """Take nothing new, answer what was taken, then hang up: Slack's client would not wait."""
        self._is_open = False
        self._client.auto_reconnect_enabled = False
        await self._answers.stop(grace)
        await self._hang_up()

    async def _address(self) -> str:
        pause = FIRST_PAUSE
        while True:
            try:
                answer = await self._client.web_client.apps_connections_open(app_token=self._client.app_token)
                return str(answer["url"])
            except SlackApiError as refused:
                why = _code(refused)
                if why in NEVER:
                    raise
            except LOST as lost:
                why = type(lost).__name__
            log.warning("slack_not_reachable", why=why)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _hang_up(self) -> None:
        try:
            async with asyncio.timeout(HANG_UP):
                await self._client.close()  # type: ignore[no-untyped-call]
        except TimeoutError:
            # The second time it does not wait for the other side.
            await self._client.close()  # type: ignore[no-untyped-call]

    async def _receive(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        if not is_understood(request.payload):
            log.warning("payload_not_understood")
        elif self._is_open:
            self._answers.start(self._answer(client, request), name="socket payload")

    async def _hear(
        self, _client: AsyncBaseSocketModeClient, message: dict[str, Any], _raw: str | None = None
    ) -> None:
        if self._twins is not None and message.get("type") == "hello":
            self._twins.connected(_connections(message))

    async def _others(self) -> int | None:
        """How many connections of this app are not ours, by opening one more for a moment."""
        if not await self._client.is_connected():
            return None
        try:
            async with asyncio.timeout(COUNTING):
                opened = await self._client.web_client.apps_connections_open(app_token=self._client.app_token)
                async with self._session.ws_connect(str(opened["url"]), proxy=self._client.proxy) as second:
                    connections = _connections(await second.receive_json())
        except (*LOST, SlackApiError, TypeError, ValueError) as lost:
            log.warning("connections_not_counted", why=type(lost).__name__)
            return None
        return None if connections is None else connections - OURS

    async def _answer(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        started = time.time()
        try:
            response = await answer(self._app, request.payload)
            await send_async_response(client, request, response, started)
        except (TimeoutError, SlackApiError, ClientError, ConnectionError) as problem:
            log.warning("answer_not_delivered", why=type(problem).__name__)


class _EachUrlOnce:
    """The session Slack's client dials with. A URL is good once and not for long, but that client goes
    on dialling the one that failed; told that it has none, it asks Slack for the next."""

    def __init__(self, client: SocketModeClient, session: ClientSession) -> None:
        self._client = client
        self._session = session

    @property
    def closed(self) -> bool:
        return self._session.closed

    async def ws_connect(self, url: str, **options: Any) -> Any:
        self._client.wss_uri = None
        return await self._session.ws_connect(url, **options)

    async def close(self) -> None:
        await self._session.close()


def _connections(hello: object) -> int | None:
    """How many connections the app has, by what Slack says first on a new one."""
    found = hello.get("num_connections") if isinstance(hello, dict) else None
    return found if isinstance(found, int) else None


def _code(refused: SlackApiError) -> str:
    data = refused.response.data
    return str(data.get("error")) if isinstance(data, dict) else f"http_{refused.response.status_code}"
