"""A server that does not keep the rules, and what it may be told to say."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from providers.http import Answer, Http, HttpLimits, NoAnswer, Pace

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """Says exactly what it is told to say, byte by byte, and remembers what it heard."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.scripts = list(scripts)
        """One per connection; the last one serves all that follow."""
        self.tls = tls
        self.heard: list[bytes] = []
        self.until = b"\r\n\r\n"
        """What ends a request: nothing is answered before."""
        self.port = 0
        self.reached = asyncio.Event()
        """Set when a request has come in."""
        self.left = asyncio.Event()
        """Set when a client has hung up, once its script is over."""
        self.open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def http(self, timeout: float = 5.0, max_bytes: int = 10_000, pace: Pace | None = None) -> Http:
        return Http(self.url, HttpLimits(timeout=timeout, max_bytes=max_bytes), pace)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self.open[task] = writer
        try:
            self.heard.append(await reader.readuntil(self.until))
            self.reached.set()
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            await script(writer)
            if script is waits:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has every right to hang up
        finally:
            writer.close()
            self.left.set()

    async def is_left(self) -> None:
        """Return when a client has hung up on `waits`."""
        async with asyncio.timeout(5):
            await self.left.wait()

    async def hang_up(self) -> None:
        """Leave no connection and no task behind, whatever the scripts were waiting for."""
        for task, writer in self.open.items():
            task.cancel()
            writer.transport.abort()
        for end in await asyncio.gather(*self.open, return_exceptions=True):
            if isinstance(end, Exception):
                raise end  # a mistake in a script


@asynccontextmanager
async def listening(server: RawServer) -> AsyncIterator[RawServer]:
    listener = await asyncio.start_server(server, "127.0.0.1", 0, ssl=server.tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.hang_up()


def says(raw: bytes) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return script


def answers(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> Script:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return says("\r\n".join(lines).encode() + body)


def repeats(opening: bytes, piece: bytes) -> Script:
    """The opening, and then the piece again and again for as long as somebody listens."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(opening)
        while True:
            writer.write(piece)
            await writer.drain()

    return script


def drips(opening: bytes, piece: bytes) -> Script:
    """Like `repeats`, but so slowly that only a total deadline ends it."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(opening)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)

    return script


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def resets(writer: asyncio.StreamWriter) -> None:
    """A reset instead of an orderly end."""
    plug = writer.get_extra_info("socket")
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def waits(writer: asyncio.StreamWriter) -> None:
    """Says nothing until the client hangs up."""


async def failure(call: Awaitable[Answer]) -> NoAnswer:
    with pytest.raises(NoAnswer) as caught:
        await call
    return caught.value
