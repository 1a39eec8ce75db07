"""Wires between the bot and what it talks to, that can be held, let go and cut at a chosen byte."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import cast

import trustme

Address = tuple[str, int] | Path
"""A port, or a socket in the file system."""
CHUNK = 65_536


class Line:
    """One connection over a wire. Both directions flow until they are told otherwise."""

    def __init__(self) -> None:
        self.asks = asyncio.Event()
        self.answers = asyncio.Event()
        self.asks.set()
        self.answers.set()
        self.loses_next_answer = False
        """The next answer arrives nowhere, and the connection is cut instead."""
        self.heard = b""
        """The beginning of what the client has said."""
        self._ends: list[asyncio.StreamWriter] = []

    def joins(self, *ends: asyncio.StreamWriter) -> None:
        self._ends += ends

    def cut(self) -> None:
        """As if somebody had pulled the plug."""
        self.asks.set()
        self.answers.set()
        for end in self._ends:
            end.transport.abort()


Watcher = Callable[[Line, bytes], None]
"""Called with what a client says, before it is passed on; may hold or cut the line."""


class Wire:
    """Takes connections on a port of this machine and passes them on to `target`."""

    def __init__(self, target: Address, watch: Watcher | None = None) -> None:
        self.target = target
        self.watch = watch or (lambda _line, _data: None)
        self.lines: list[Line] = []
        """Those that stand."""
        self.port = 0
        self._pumps: set[asyncio.Task[None]] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Called for each connection."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._pumps.add(task)
        line = Line()
        line.joins(writer)
        self.lines.append(line)
        try:
            there, back = await self._reach()
            line.joins(back)
            await asyncio.gather(self._asks(line, reader, back), self._answers(line, there, writer))
        except OSError:
            pass  # either end has every right to hang up, and the target may be gone
        finally:
            line.cut()
            self.lines.remove(line)
            self._pumps.discard(task)

    async def put_away(self) -> None:
        for line in tuple(self.lines):
            line.cut()
        await asyncio.gather(*self._pumps)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    async def _asks(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            line.heard = (line.heard + data)[:CHUNK]
            self.watch(line, data)
            await line.asks.wait()
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _answers(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if line.loses_next_answer:
                line.cut()
                return
            await line.answers.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def laid(wire: Wire, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """A wire that takes connections; with `tls`, only from those who greet in it."""
    listener = await asyncio.start_server(wire.carry, "127.0.0.1", 0, ssl=tls)
    wire.port = listener.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        listener.close()
        await wire.put_away()


@contextmanager
def laid_apart(wire: Wire) -> Iterator[Wire]:
    """The same in a thread of its own, for a bot in this very thread that may block it while it ends.

    `wire.watch` is called there. Nothing else of the wire may be touched from here.
    """
    is_laid, may_end = threading.Event(), asyncio.Event()

    async def lay() -> None:
        loops.append(asyncio.get_running_loop())
        async with laid(wire):
            is_laid.set()
            await may_end.wait()

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=asyncio.run, args=(lay(),))
    thread.start()
    is_laid.wait()
    try:
        yield wire
    finally:
        loops[0].call_soon_threadsafe(may_end.set)
        thread.join()


class Door:
    """The TLS entrance of a provider. Whoever knocks while it is shut stays in the handshake: connected,
    and not one byte of the request has left."""

    def __init__(self, url: str, certificate: Path) -> None:
        self.url = url
        """For the setting of the provider's base URL."""
        self.certificate = certificate
        """For SSL_CERT_FILE."""
        self._is_shut = False
        self._knocked = asyncio.Event()
        self._waiting: list[Line] = []

    def shut(self) -> None:
        """For everybody who comes from now on."""
        self._is_shut = True

    def reopen(self) -> None:
        """For newcomers; whoever stands there goes on waiting."""
        self._is_shut = False

    def let_in(self) -> None:
        """Answer those who wait, if they are still there."""
        self.reopen()
        while self._waiting:
            self._waiting.pop().asks.set()

    async def is_knocked_at(self, timeout: float = 10) -> None:  # noqa: ASYNC109
        """Return when somebody waits."""
        async with asyncio.timeout(timeout):
            await self._knocked.wait()

    def greeted(self, line: Line, _data: bytes) -> None:
        if self._is_shut:
            line.asks.clear()
            self._waiting.append(line)
            self._knocked.set()


@asynccontextmanager
async def door_of(base_url: str, folder: Path) -> AsyncIterator[Door]:
    """A TLS entrance in front of a pretend provider that listens without."""
    origin, _, prefix = base_url.removeprefix("http://").partition("/")
    port = int(origin.rpartition(":")[2])
    authority = trustme.CA()
    certificate = folder / "authority.pem"
    authority.cert_pem.write_to_path(certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with laid(Wire(("127.0.0.1", port)), tls) as inner, laid(Wire(("127.0.0.1", inner.port))) as outer:
        door = Door(f"https://127.0.0.1:{outer.port}/{prefix}".rstrip("/"), certificate)
        outer.watch = door.greeted
        with suppress(ConnectionError):
            yield door
