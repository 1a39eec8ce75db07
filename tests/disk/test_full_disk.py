"""The disk is full: nothing is half written, nothing is promised, and it goes on when there is room."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.store import Store
from bot.store.chain import Head
from sandbox.process import BotProcess
from sandbox.slack.model import Message
from sandbox.town import Town
from sandbox.vendors.vendor import Fault
from tests.conftest import QUICK, World
from tests.disk.misfortune import SAID
from tests.disk.trace import ROOT

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
"""With a disk of its own, which needs no rights on most machines."""


def may_mount() -> bool:
    try:
        made = subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True)
    except FileNotFoundError:
        return False
    return made.returncode == 0


@pytest.mark.parametrize("kind", ["limit", "tmpfs"])
def test_a_store_without_room_says_so_and_goes_on_when_there_is_room(tmp_path: Path, kind: str) -> None:
    if kind == "tmpfs" and not may_mount():
        pytest.skip("needs unshare (Debian, Ubuntu: apt install util-linux) and leave to mount a tmpfs")
    program = [*(NAMESPACE if kind == "tmpfs" else ()), sys.executable, "-m", "tests.disk.narrow"]
    done = subprocess.run(
        [*program, kind, str(tmp_path)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    found = json.loads(done.stdout)
    full = {"limit": "disk I/O error", "tmpfs": "database or disk is full"}[kind]
    assert found["said"] == [f"{SAID}{full}."] * 2
    assert found["again"] >= found["first"] > 0
    assert found["full"] == found["again"], "what was written is there, and nothing else"
    assert found["after"] == found["full"] + 3


# --- the bot ------------------------------------------------------------------------------------------


class Machine:
    """A town and a bot in a process of its own, for which the disk can be full."""

    def __init__(self, town: Town, folder: Path, bot: BotProcess, log: asyncio.StreamReader) -> None:
        self.world = World(town, folder, "socket")
        self._bot = bot
        self._log = log

    def fill_disk(self) -> None:
        """From now on no file can be written, not even within its length."""
        self._limit(0)

    def make_room(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        resource.prlimit(self._bot.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def logs(self, event: str) -> None:
        """Wait until the bot has logged it."""
        async with asyncio.timeout(20):
            while json.loads(await self._log.readline())["event"] != event:
                pass


@asynccontextmanager
async def machine_in(folder: Path) -> AsyncIterator[Machine]:
    log, (heard, written) = asyncio.StreamReader(), os.pipe()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(log), os.fdopen(heard, "rb")
    )
    async with Town() as town:
        times = QUICK | {"PROVIDER_TIMEOUT": "5s", "RECONCILE_AFTER": "6s"}
        environment = town.environment(folder / "bot.db", **times, LOG_FORMAT="json")
        with os.fdopen(written, "wb") as stderr:  # a pipe: the log is not on the full disk
            bot = BotProcess(environment, folder, stderr)
            await bot.start("--transport", "socket")
        try:
            await town.workspace.bot_connected(timeout=20)
            yield Machine(town, folder, bot, log)
        finally:
            await bot.stop()
            pipe.close()


async def asked(machine: Machine) -> Message:
    """A card that is waiting, of a request of which nothing more is owed to anybody."""
    vendor = machine.world.vendor("payvalida")
    card = await machine.world.asked("alice", "payvalida", vendor.samples["cancellable"])
    await machine.world.said("alice", "")
    return card


async def test_a_click_while_the_disk_is_full_is_not_answered_ok_and_counts_when_there_is_room(
    tmp_path: Path,
) -> None:
    async with machine_in(tmp_path) as machine:
        world, vendor = machine.world, machine.world.vendor("payvalida")
        card = await asked(machine)
        machine.fill_disk()
        assert not (await world.approve("bob", card)).ok
        assert vendor.sends == []
        machine.make_room()
        assert (await world.approve("bob", card)).ok
        assert (await world.approve("carol", card)).ok
        await world.reads(card, "Outcome: cancelled")
        assert len(vendor.sends) == 1
        world.workspace.problems.clear()  # that there was no answer in time is the point
    history_verifies(tmp_path)


async def test_without_room_for_the_permit_nothing_is_sent_and_then_once(tmp_path: Path) -> None:
    async with machine_in(tmp_path) as machine:
        world, vendor = machine.world, machine.world.vendor("payvalida")
        card = await asked(machine)
        await world.approve("bob", card)
        vendor.fail_next(Fault.HANG, on="read")
        reads = len(vendor.seen)
        await world.approve("carol", card)
        await vendor.wait_until(lambda: len(vendor.seen) > reads)
        machine.fill_disk()
        vendor.release()
        await machine.logs("action_not_put_away")
        assert vendor.sends == []
        machine.make_room()
        await world.reads(card, "Outcome: cancelled", timeout=20)
        assert len(vendor.sends) == 1
    history_verifies(tmp_path)


async def test_without_room_for_the_answer_it_is_kept_until_there_is_room(tmp_path: Path) -> None:
    async with machine_in(tmp_path) as machine:
        world, vendor = machine.world, machine.world.vendor("payvalida")
        card = await asked(machine)
        await world.approve("bob", card)
        vendor.fail_next(Fault.HANG)
        await world.approve("carol", card)
        await vendor.wait_until(lambda: len(vendor.sends) == 1)
        machine.fill_disk()
        reads = len(vendor.seen)
        vendor.release()
        await machine.logs("answer_not_written_down")
        machine.make_room()
        await world.reads(card, "Outcome: cancelled")
        assert len(vendor.sends) == 1
        assert len(vendor.seen) == reads, "the answer was enough; nobody had to look"
    history_verifies(tmp_path)


def history_verifies(folder: Path) -> None:
    store = Store(f"sqlite:///{folder / 'bot.db'}")
    assert store.read_now(lambda unit: unit.verify(Head())).seq > 0
    store.close()
