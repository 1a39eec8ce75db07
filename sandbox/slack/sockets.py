"""Socket Mode, Slack's side: hello, envelopes, acknowledgements, disconnects."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType, web

from sandbox.slack.model import Json, Reply

if TYPE_CHECKING:
    from sandbox.slack.workspace import Workspace

LIMIT = 10  # connections an app may have


@dataclass(eq=False)
class Connection:
    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    draining: bool = False  # told to go away: gets nothing new


@dataclass
class Envelope:
    what: str
    accepts: bool
    answer: asyncio.Future[Json | None]
    overdue: bool = False


class SocketHub:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._tickets: set[str] = set()
        self._connections: list[Connection] = []
        self._sent: dict[str, Envelope] = {}
        self.base = ""  # set by the server once it knows its port

    @property
    def connected(self) -> int:
        return sum(not c.draining for c in self._connections)

    def open(self) -> str:
        """A URL for one connection, good once."""
        ticket = secrets.token_urlsafe(16)
        self._tickets.add(ticket)
        return f"{self.base.replace('http', 'ws', 1)}/link/?ticket={ticket}&app_id={self._workspace.app_id}"

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            raise web.HTTPForbidden(text="unknown or used ticket")
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, request.transport)
        if len(self._connections) >= LIMIT:
            await socket.send_json(_disconnect("too_many_websockets"))
            return socket
        await socket.send_json(self._hello())
        self._connections.append(connection)
        self._workspace.changed()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._answered(message.data)
        finally:
            self._connections.remove(connection)
            self._workspace.changed()
        return socket

    async def send(self, kind: str, payload: Json, accepts: bool, retry: tuple[int, str] | None) -> Reply:
        live = [c for c in self._connections if not c.draining and not c.socket.closed]
        if not live:
            return Reply(False, error="dispatch_failed")
        connection = live[0]
        # Any one connection gets it; take turns, so that two of them are both tried.
        self._connections.remove(connection)
        self._connections.append(connection)
        envelope = {
            "envelope_id": str(uuid.uuid4()),
            "type": kind,
            "payload": payload,
            "accepts_response_payload": accepts,
        }
        if kind == "events_api":
            envelope |= {"retry_attempt": retry[0] if retry else 0, "retry_reason": retry[1] if retry else ""}
        return await self._exchange(connection, envelope)

    async def _exchange(self, connection: Connection, message: Json) -> Reply:
        payload = message["payload"]
        what = str(payload.get("command") or payload.get("type"))
        answer: asyncio.Future[Json | None] = asyncio.get_running_loop().create_future()
        envelope = Envelope(what, message["accepts_response_payload"], answer)
        self._sent[message["envelope_id"]] = envelope
        try:
            await connection.socket.send_json(message)
            body = await asyncio.wait_for(answer, self._workspace.ack_timeout)
        except TimeoutError:
            envelope.overdue = True
            # A bot that died with the envelope in hand broke no rule, but the click is lost all the same.
            lost = connection.socket.closed
            return Reply(False, error="connection_lost" if lost else "operation_timeout")
        except ConnectionError:
            return Reply(False, error="connection_lost")
        del self._sent[message["envelope_id"]]
        return Reply(True, body or None)

    def _answered(self, data: str) -> None:
        """An acknowledgement; while a bot reconnects it may come by its new connection."""
        try:
            answer = json.loads(data)
            envelope_id, body = answer["envelope_id"], answer.get("payload")
        except (ValueError, KeyError, TypeError):
            self._workspace.problem(f"socket: not an acknowledgement: {data[:200]}")
            return
        envelope = self._sent.get(envelope_id)
        if envelope is None:
            self._workspace.problem(f"socket: acknowledged {envelope_id}, which was not waiting for it")
        elif envelope.overdue:
            limit = self._workspace.ack_timeout
            self._workspace.problem(f"{envelope.what}: acknowledged after more than {limit:g} s")
        elif not envelope.answer.done():
            if body and not envelope.accepts:
                self._workspace.problem(f"{envelope.what}: answered with a payload where none is accepted")
            envelope.answer.set_result(body)

    async def disconnect(self, reason: str) -> None:
        """Tell the bot to reconnect, as Slack does every few hours. A warning only announces it."""
        for connection in list(self._connections):
            connection.draining = reason != "warning"
            await connection.socket.send_json(_disconnect(reason))
        self._workspace.changed()

    def drop(self) -> None:
        """Break every connection without a word."""
        for connection in list(self._connections):
            if connection.transport:
                connection.transport.abort()

    async def close(self) -> None:
        for connection in list(self._connections):
            await connection.socket.close(code=WSCloseCode.GOING_AWAY)

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._connections) + 1,
            "debug_info": {"host": "applink-sandbox", "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._workspace.app_id},
        }


def _disconnect(reason: str) -> Json:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-sandbox"}}
