"""Several processes of the real bot on one database, which can be stopped, continued and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from bot.app import Bot, Roles
from bot.store import Store
from sandbox.process import BotProcess
from sandbox.slack.workspace import Workspace
from sandbox.town import Town
from tests import postgres
from tests.conftest import QUICK, NoPace, World

PATIENCE = 30.0
"""Seconds for whatever a process does, on a machine that is busy with other things."""
GLANCE = 0.01
"""Seconds between two looks where nobody tells when something has happened."""


async def until(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:  # noqa: ASYNC109
    """What `condition` returns once that is true; for what cannot be awaited, as it is in another process."""
    try:
        async with asyncio.timeout(timeout):
            while not (found := condition()):  # noqa: ASYNC110
                await asyncio.sleep(GLANCE)
    except TimeoutError:
        raise AssertionError(f"not within {timeout:g} s: {what}") from None
    return found


async def readiness(port: int) -> tuple[int, str]:
    """What the process that listens there answers to `/readyz`; 0 when nobody answers."""
    with suppress(OSError, ValueError, IndexError):
        async with asyncio.timeout(6):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
                answer = await reader.read()
            finally:
                writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()
    return 0, "nobody answers"


async def are_ready(ports: Sequence[int], timeout: float = PATIENCE, wanted: int = 200) -> None:  # noqa: ASYNC109
    """Return when all of them say that they can do their work; with `wanted` 503, that they cannot."""
    says: list[tuple[int, str]] = []
    try:
        async with asyncio.timeout(timeout):
            while not says or any(status != wanted for status, _ in says):
                says = await asyncio.gather(*map(readiness, ports))
                await asyncio.sleep(GLANCE)
    except TimeoutError:
        raise AssertionError(f"not {wanted} within {timeout:g} s: {says}") from None


class Member:
    """One process, and what it has logged."""

    def __init__(self, name: str, role: str, process: BotProcess, log: Path) -> None:
        self.name = name
        self.role = role
        self.process = process
        self.log = log
        self.is_stopped = False

    @property
    def url(self) -> str:
        """Where it hears from Slack."""
        return f"http://127.0.0.1:{self.process.port}/slack/events"

    def records(self, event: str = "") -> list[dict[str, Any]]:
        """What it has logged, or only records of that name."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [record for record in found if event in ("", record.get("event"))]

    async def says(self, event: str, times: int = 1, timeout: float = PATIENCE) -> None:  # noqa: ASYNC109
        """Return when it has logged that."""
        told = lambda: len(self.records(event)) >= times  # noqa: E731
        await until(told, f"{self.name} says {event}; it said {self.log.read_text('utf-8')[-3000:]}", timeout)

    async def is_ready(self, timeout: float = PATIENCE) -> None:  # noqa: ASYNC109
        """Return when it says that it can do its work."""
        await are_ready([self.process.port], timeout)

    def stop(self) -> None:
        """As by SIGSTOP: it keeps its connections and does nothing."""
        os.kill(self.process.pid, signal.SIGSTOP)
        self.is_stopped = True

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)
        self.is_stopped = False

    async def kill(self) -> None:
        await self.process.kill()

    async def end(self) -> int:
        """As by an operator: returns the exit code when everything is put away."""
        if self.is_stopped:
            self.go_on()
        return await self.process.stop()


class Fleet:
    """The processes, the town they live in, and the database they share."""

    def __init__(self, town: Town, folder: Path, database: str) -> None:
        self.town = town
        self.folder = folder
        self.database = database
        self.world = World(town, folder, "http", database)
        self.store = Store(postgres.as_sqlalchemy(database))
        self.members: dict[str, Member] = {}
        self._open = AsyncExitStack()

    @property
    def workspace(self) -> Workspace:
        return self.town.workspace

    async def start(self, name: str, role: str, **settings: str) -> Member:
        """Start one more; with `role` "web" or "all" it hears from Slack by HTTP. Returns at once."""
        log = self.folder / f"{name}.log"
        given = {**QUICK, "DATABASE_URL": self.database, "LOG_FORMAT": "json", **settings}
        with log.open("ab") as file:
            process = BotProcess(self.town.environment(self.folder / "unused.db", **given), self.folder, file)
            await process.start("--role", role, "--transport", "http")
        member = self.members[name] = Member(name, role, process, log)
        return member

    async def started(self, roles: Mapping[str, str], **settings: str) -> list[Member]:
        """Start several at once, by their names, and return when all of them are ready."""
        members = [await self.start(name, role, **settings) for name, role in roles.items()]
        await asyncio.gather(*(member.is_ready() for member in members))
        return members

    async def listen(self, **settings: str) -> None:
        """Hear from Slack in this very process, by a bot that does no other work."""
        given = replace(self.world.settings(**{"DATABASE_URL": self.database, **settings}), port=0)
        bot = Bot(given, transport="http", roles=Roles(worker=False), pace=NoPace())
        await bot.start()
        self._open.push_async_callback(bot.stop)
        self.workspace.deliver_to_http(f"http://127.0.0.1:{bot.port}/slack/events")

    async def forget(self, member: Member) -> None:
        """End it in an orderly way, and check that it was one."""
        code = await member.end()
        assert code == 0, f"{member.name} ended with {code}: {member.log.read_text('utf-8')[-3000:]}"
        del self.members[member.name]

    async def end(self) -> None:
        """What is still there is killed: whoever wants to see it end well has said so before."""
        await self._open.aclose()
        for member in self.members.values():
            await member.kill()
        self.store.close()

    # --- the database, past the bots --------------------------------------------------------------

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def holder(self, kind: str) -> str:
        """The worker that holds the only claimed action of that kind, by its name."""
        rows = self.ask("SELECT token FROM action WHERE kind = %s AND token IS NOT NULL", kind)
        return str(rows[0][0])[:8] if rows else ""

    def cut_link(self, name: str) -> None:
        """Cut the standing connection of the worker of that name: to the others it is gone."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        assert self.ask(query, f"countersign worker {name}") == [(True,)]


@asynccontextmanager
async def fleet_in(folder: Path, database: str) -> AsyncIterator[Fleet]:
    """A town of its own, without any process yet."""
    async with Town() as town:
        fleet = Fleet(town, folder, database)
        try:
            yield fleet
        finally:
            await fleet.end()
