"""The real bot as a process of its own, started the way anybody would start it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")
"""Nothing else of the surroundings reaches the bot: a real token in them must not meet the sandbox."""


class BotProcess:
    """`python -m bot run` in an environment of ours. It reads no `.env`: it runs in its own folder."""

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        log: IO[bytes] | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """`before` is called in the new process, right before the bot's program starts in it."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.port = free_port()
        self._environment = kept | dict(environment) | {"PYTHONPATH": str(ROOT), "PORT": str(self.port)}
        self._folder = folder
        self._log = log
        self._before = before
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    async def start(self, *arguments: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            "run",
            *arguments,
            cwd=self._folder,
            env=self._environment,
            stderr=self._log,
            stdin=asyncio.subprocess.DEVNULL,
            preexec_fn=self._before,
        )

    async def stop(self, grace: float = 30.0) -> int:
        """Ask it to stop and wait; what does not end in time is killed."""
        process = self._running()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                return await process.wait()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it as a power cut would."""
        process = self._running()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return await process.wait()

    async def ended(self) -> int:
        """Return when it has ended by itself, with its exit code."""
        return await self._running().wait()

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the bot was not started")
        return self._process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
