"""A town with a bot process in it that can be killed at any moment, and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sandbox.process import BotProcess
from sandbox.town import CHANNEL, Town
from tests.conftest import QUICK, World
from tests.crash import records
from tests.crash.strace import Strace, prepare

T = TypeVar("T")
PATIENCE = 90.0
"""Seconds for a start on a machine that is busy with other things."""


class Died(Exception):
    """The bot is gone; whoever waits for it waits in vain."""


class Machine:
    """One town and one database. What is done while the bot runs goes through `alive`."""

    def __init__(self, town: Town, folder: Path, database: str = "") -> None:
        """`database`: the setting; a SQLite file in `folder` unless it is given."""
        self.world = World(town, folder, "socket")
        self.town = town
        self.folder = folder
        self.database = database or f"sqlite:///{folder / 'bot.db'}"
        self.bot: BotProcess | None = None
        self.exit_code: int | None = None
        """Of the last bot that ended; negative for a signal."""
        self.ready_after = 0.0
        """Seconds from the start of the process until it said that it is ready."""
        self._gone: asyncio.Task[int] | None = None
        self._moment: Callable[[], object] | None = None
        self.heard = ""
        """What strace has told, once it was put away."""
        self._straces: list[Strace] = []
        self._watch_town()

    async def start(self, *options: str) -> None:
        """Start the bot and return when it is ready; with `options`, under strace from before it touches
        the database.

        Raises `Died` when it ends before that.
        """
        settings = {**QUICK, "DATABASE_URL": self.database, "LOG_LEVEL": "WARNING"}
        environment = self.town.environment(self.folder / "bot.db", **settings)
        began = time.monotonic()
        with (self.folder / "bot.log").open("ab") as log:
            self.bot = BotProcess(
                environment, self.folder, log, before=prepare if sys.platform == "linux" else None
            )
            await self.bot.start("--transport", "socket")
        self._gone = asyncio.create_task(self.bot.ended())
        if options:
            await self.alive(self._has_imported())
            await self.trace(*options)
        await self.alive(self.town.workspace.bot_connected(PATIENCE))
        await self.alive(self._is_ready())
        self.ready_after = time.monotonic() - began

    @property
    def has_file(self) -> bool:
        """The database is a file, and its calls are those of a disk."""
        return self.database.startswith(records.SQLITE)

    @property
    def is_running(self) -> bool:
        return self._gone is not None and not self._gone.done()

    async def kill(self) -> None:
        """Now, as by a power cut, and return when the town has noticed."""
        assert self.bot is not None
        await self.bot.kill()
        await self._buried()

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    async def stop(self) -> None:
        """In an orderly way, if it runs."""
        await self.untrace()
        if self.bot is not None and self._gone is not None:
            await self.bot.stop()
            await self._gone

    def kill_at(self, moment: Callable[[], object]) -> None:
        """Kill at the first change in the town after which `moment` is true, and before whoever made it
        gets an answer."""
        self._moment = moment

    async def trace(self, *options: str, threads: str = "all") -> Strace:
        """Put strace beside the running bot: beside `all` of its threads, or only the one that does the
        talking (`main`) or the one that writes to the database (`writer`)."""
        assert self.bot is not None
        thread = self._writer() if threads == "writer" else self.bot.pid
        strace = await Strace.attach(thread, *options, follow=threads == "all")
        self._straces.append(strace)
        return strace

    async def untrace(self) -> None:
        while self._straces:
            strace = self._straces.pop()
            await strace.detach()
            self.heard = strace.text

    async def forget_everything(self) -> None:
        """Stop the bot, and give it an empty database. The channel is emptied as well: a bot that knows
        less than it has said there does nothing, and rightly."""
        await self.stop()
        records.erase(self.database)
        self.town.workspace.channel(CHANNEL).messages.clear()

    @property
    def log_length(self) -> int:
        path = self.folder / "bot.log"
        return path.stat().st_size if path.exists() else 0

    def logged(self, since: int) -> str:
        """What the bot has logged after its first `since` bytes."""
        return (self.folder / "bot.log").read_bytes()[since:].decode(errors="replace")

    async def alive(self, work: Awaitable[T]) -> T:
        """What comes of `work`. Raises `Died` when the bot is gone first."""
        assert self._gone is not None
        doing = asyncio.ensure_future(work)
        try:
            await asyncio.wait({doing, self._gone}, return_when=asyncio.FIRST_COMPLETED)
            if self._gone.done():
                await self._buried()
                if not doing.done():
                    raise Died
            return await doing
        finally:
            if not doing.done():
                doing.cancel()
                await asyncio.gather(doing, return_exceptions=True)

    async def _buried(self) -> None:
        """Return when all that the bot said before it died has been heard."""
        assert self._gone is not None
        self.exit_code = await self._gone
        self._moment = None
        hub = self.town.workspace.delivery.hub
        await self.town.workspace.wait_until(lambda: not hub.connected)
        for _ in range(20):  # calls that have arrived are carried out, whoever made them
            await asyncio.sleep(0.002)

    async def _is_ready(self) -> None:
        while not await self._says_ready():  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.02)

    async def _says_ready(self) -> bool:
        assert self.bot is not None
        with suppress(ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.bot.port)
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
        return False

    async def _has_imported(self) -> None:
        """Return when it has locked its file. What comes before is slow under strace and of no interest."""
        assert self.bot is not None
        if not self.has_file:
            return
        lock = f"{self.database.removeprefix(records.SQLITE)}.lock"
        while lock not in _open_files(self.bot.pid):  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    def _writer(self) -> int:
        """The thread of the store that writes. The first thread talks, the next two are those of the
        store, and reading comes first."""
        assert self.bot is not None
        threads = sorted(int(name) for name in os.listdir(f"/proc/{self.bot.pid}/task"))
        return threads[2]

    def _watch_town(self) -> None:
        workspace = self.town.workspace
        changed = workspace.changed

        def look_as_well() -> None:
            changed()
            self._look()

        workspace.changed = look_as_well  # type: ignore[method-assign]
        for vendor in self.town.vendors.values():
            vendor.on_change.append(self._look)

    def _look(self) -> None:
        if self._moment is None or not self._moment():
            return
        self._moment = None
        assert self.bot is not None
        with suppress(ProcessLookupError):
            os.kill(self.bot.pid, signal.SIGKILL)

    def history_verifies(self) -> None:
        assert records.verify(self.database) > 0


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(FileNotFoundError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


@asynccontextmanager
async def machine_in(folder: Path, database: str = "") -> AsyncIterator[Machine]:
    """A machine of its own, its bot not started yet, and put away at the end."""
    os.makedirs(folder, exist_ok=True)
    async with Town() as town:
        machine = Machine(town, folder, database)
        try:
            yield machine
        finally:
            await machine.stop()
