"""How much more two and four workers get done than one, on Postgres, with a provider that takes its time.

All begin with the same backlog of approved requests: the database is copied, and Slack and the provider
forget what came of them. Where the cores are few, the workers share them with Postgres, Slack and the
provider: how busy the processors were says whether more workers could have done more.

Takes two minutes or so.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import psycopg

from bench.figures import Figure, Say
from bench.process import Process, running
from bench.slow import slowed
from bench.stage import SETTLED, Stage, all_of, on_stage
from sandbox.process import KEPT, ROOT
from sandbox.slack.model import Message, View
from sandbox.town import CHANNEL
from sandbox.vendors.vendor import Vendor

ROW = "workers"
WORKERS = (1, 2, 4)
PAIRS = 3
BACKLOG, BACKLOG_QUICK = 64, 16
REQUESTERS = 4
AT_ONCE = 8
PROVIDER_TAKES = 0.2
LOOK_EVERY = 0.05
"""Seconds between two looks into the database: rarely enough to take nothing from those who work."""
NAMES = {2: "two workers", 4: "four workers"}
OPEN = "SELECT count(*) FROM request WHERE is_open"
OWED = "SELECT count(*) FROM message WHERE NOT delivered"


@dataclass(frozen=True)
class Backlog:
    """Approved requests that wait for the end of a pause, as they are in each of the three places."""

    stage: Stage
    environment: Mapping[str, str]
    """Of the bot that took them, with its database."""
    references: Sequence[str]
    messages: Sequence[Message]

    def restore(self) -> None:
        """Slack and the provider as they were before anything of it was executed."""
        vendor = _provider(self.stage)
        for reference in self.references:
            vendor.set_state(reference, "pending")
        vendor.sends.clear()
        vendor.performed.clear()
        self.stage.workspace.channel(CHANNEL).messages[:] = [each.snapshot() for each in self.messages]


@dataclass
class Taken:
    """Of each round with so many workers."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    """Milliseconds of processor time that the workers used for one cancellation."""
    busy: list[float] = field(default_factory=list)
    """Percent of the time of all processors, by whomever."""


async def measure(say: Say, quick: bool) -> list[Figure]:
    from tests import postgres

    if postgres.why_not():
        say(f"{ROW}: no Postgres here, left out")
        return []
    taken = {workers: Taken() for workers in WORKERS}
    pairs = 1 if quick else PAIRS
    async with on_stage() as stage, slowed(_provider(stage).base_url, PROVIDER_TAKES) as address:
        with postgres.new_database() as database:
            environment = stage.environment(database, DIGICERT_BASE_URL=address)
            backlog = await _backlog(stage, environment, BACKLOG_QUICK if quick else BACKLOG)
            for number in range(pairs):
                for workers in WORKERS:
                    with postgres.new_database(like=database) as copy:
                        await _round(backlog, copy, workers, taken[workers])
                say(f"{ROW}: round {number + 1} of {pairs}")
    return [figure for workers in WORKERS[1:] for figure in _figures(workers, taken[workers], taken[1])]


def _figures(workers: int, ours: Taken, one: Taken) -> list[Figure]:
    what = f"{NAMES[workers]} on Postgres; floor: one"
    return [
        Figure(
            ROW,
            f"cancellations by {what}",
            "/s",
            ours.rates,
            one.rates,
            at_least=1.7 if workers == 2 else None,
        ),
        Figure(ROW, f"their processor time for each, {what}", "ms", ours.costs, one.costs),
        Figure(ROW, f"how busy all processors were, {what}", "%", ours.busy, one.busy),
    ]


def _provider(stage: Stage) -> Vendor[Any]:
    return stage.town.vendors["digicert"]


async def _backlog(stage: Stage, environment: Mapping[str, str], requests: int) -> Backlog:
    references = [_provider(stage).new_order() for _ in range(requests)]
    requesters = cycle(stage.newcomers(REQUESTERS))
    async with running("bench.unpaced", environment, stage.folder) as bot:
        stage.talk_to(bot.url)
        await _command(environment, stage.folder, "pause")
        form = await stage.form()
        await all_of([_approved(stage, form, each, next(requesters).name) for each in references], AT_ONCE)
        await _until_none(environment["DATABASE_URL"], OWED)
    messages = [each.snapshot() for each in stage.workspace.channel(CHANNEL).messages]
    return Backlog(stage, environment, references, messages)


async def _approved(stage: Stage, form: View, reference: str, requester: str) -> None:
    await stage.send(form, reference, requester)
    card = await stage.card(reference)
    for who in ("bob", "carol"):
        await stage.click(who, card, "approve")


async def _round(backlog: Backlog, database: str, workers: int, taken: Taken) -> None:
    """From the first call at the provider until all have ended. Raises unless each was cancelled once."""
    backlog.restore()
    stage, requests = backlog.stage, len(backlog.references)
    environment = {**backlog.environment, "DATABASE_URL": database}
    vendor = _provider(stage)
    async with _web_and(workers, environment, stage.folder) as processes:
        called = len(vendor.seen)
        await _command(environment, stage.folder, "resume")
        await vendor.wait_until(lambda: len(vendor.seen) > called, SETTLED)
        began, used, busy = time.perf_counter(), _seconds(processes), _ticks()
        await _until_none(database, OPEN)
        taken.rates.append(requests / (time.perf_counter() - began))
        taken.costs.append(1000 * (_seconds(processes) - used) / requests)
        taken.busy.append(_busy(busy, _ticks()))
        await _until_none(database, OWED)
    if not sorted(backlog.references) == sorted(vendor.sends) == sorted(vendor.performed):
        raise AssertionError(f"sent {vendor.sends}, performed {vendor.performed}")


@asynccontextmanager
async def _web_and(
    workers: int, environment: Mapping[str, str], folder: Path
) -> AsyncIterator[list[Process]]:
    """One process that listens to Slack and so many that work; these are given."""
    roles = ["web", *("worker" for _ in range(workers))]
    processes = [Process("bench.unpaced", {**environment, "ROLE": role}, folder) for role in roles]
    try:
        await asyncio.gather(*(process.start() for process in processes))
        yield processes[1:]
    finally:
        await asyncio.gather(*(process.stop() for process in processes))


async def _command(environment: Mapping[str, str], folder: Path, *arguments: str) -> None:
    """One command of the bot, beside the processes that run."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *arguments),
        env=kept | dict(environment) | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
    )
    if code := await process.wait():
        raise RuntimeError(f"{' '.join(arguments)} ended with {code}")


async def _until_none(database: str, query: str) -> None:
    """Until the database counts none of these any more; it tells nobody by itself."""
    with closing(psycopg.connect(database, autocommit=True)) as connection:
        async with asyncio.timeout(SETTLED):
            while connection.execute(query).fetchone() != (0,):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY)


def _seconds(processes: Sequence[Process]) -> float:
    return sum(process.processor_seconds() for process in processes)


def _ticks() -> tuple[int, int]:
    """Of all processors since the machine began: those at work, and all."""
    line = Path("/proc/stat").read_text("utf-8").partition("\n")[0]
    user, nice, system, idle, waiting, *others = map(int, line.split()[1:9])
    working = user + nice + system + sum(others)
    return working, working + idle + waiting


def _busy(before: tuple[int, int], after: tuple[int, int]) -> float:
    working, all_of_them = (now - then for now, then in zip(after, before, strict=True))
    return 100 * working / max(1, all_of_them)
