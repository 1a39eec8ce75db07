"""The bot or a floor as a process of its own, with what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sandbox.process import KEPT, ROOT, free_port

PATIENCE = 60.0
GLANCE = 0.005
"""Seconds between two looks at whether it is ready: nobody tells."""


class Process:
    """`python -m <module>`, which listens on `port` and answers `GET /readyz` when it can do its work."""

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str],
        folder: Path,
        *arguments: str,
        patience: float = PATIENCE,
    ) -> None:
        """`patience`: the seconds within which it has to be ready."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/slack/events"
        self._command = (sys.executable, "-m", module, *arguments)
        self._environment = kept | dict(environment) | {"PYTHONPATH": str(ROOT), "PORT": str(self.port)}
        self._folder = folder
        self._patience = patience
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> float:
        """Start it, and return after how many seconds it was ready."""
        began = time.perf_counter()
        with (self._folder / f"{self.port}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=self._folder, env=self._environment, stderr=log, stdout=log
            )
        async with asyncio.timeout(self._patience):
            while not await self._is_ready():
                if self._process.returncode is not None:
                    raise RuntimeError((self._folder / f"{self.port}.log").read_text("utf-8")[-3000:])
                await asyncio.sleep(GLANCE)
        return time.perf_counter() - began

    async def stop(self) -> None:
        """In an orderly way; what does not end in time is killed."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(30):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def processor_seconds(self) -> float:
        """Which it has used so far, in all of its threads."""
        fields = Path(f"/proc/{self._pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        """Memory that it holds now."""
        pages = int(Path(f"/proc/{self._pid}/statm").read_text("utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def _pid(self) -> int:
        if self._process is None:
            raise RuntimeError("it was not started")
        return self._process.pid

    async def verified(self) -> None:
        """Wait until it has verified its history as well, which goes on beside everything else."""
        async with asyncio.timeout(self._patience):
            while b"still being verified" in await self._says():  # noqa: ASYNC110  (nobody tells)
                await asyncio.sleep(GLANCE)

    async def _is_ready(self) -> bool:
        return (await self._says()).split()[1:2] == [b"200"]

    async def _says(self) -> bytes:
        """Its whole answer; nothing as long as nobody listens."""
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
                return await reader.read()
            finally:
                writer.close()
        return b""


@asynccontextmanager
async def running(
    module: str, environment: Mapping[str, str], folder: Path, *arguments: str
) -> AsyncIterator[Process]:
    process = Process(module, environment, folder, *arguments)
    try:
        await process.start()
        yield process
    finally:
        await process.stop()
