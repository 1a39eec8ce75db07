"""A long way to Slack: each answer comes so much later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


@asynccontextmanager
async def slowed(url: str, seconds: float) -> AsyncIterator[str]:
    """The same address with every answer from there delayed."""
    target = urlsplit(url)
    pumps: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.hostname, target.port)
        for pump in (_pump(reader, back, 0.0), _pump(there, writer, seconds)):
            task = asyncio.create_task(pump)
            pumps.add(task)
            task.add_done_callback(pumps.discard)

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield target._replace(netloc=f"127.0.0.1:{port}").geturl()
    finally:
        server.close()
        for pump in list(pumps):
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            await asyncio.sleep(seconds)
            writer.write(data)
            await writer.drain()
    writer.close()
