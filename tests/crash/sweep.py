"""Many points, tried on several machines at a time."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path

from tests.crash.machine import Machine, machine_in
from tests.crash.moments import NAMED, arrangement
from tests.crash.points import AT_START, FILE_CALLS, PROVIDERS, SOCKET_CALLS, Point
from tests.crash.trial import Report, Trial

Databases = Callable[[], AbstractContextManager[str]]
"""Where a machine gets its database from; an empty text stands for a SQLite file of its own."""

NEVER = 65_535
"""The highest number that strace counts to."""
_CALL = re.compile(r"(?m)^(?:\[pid +([0-9]+)\] )?([a-z0-9]+)\(")


def own_file() -> AbstractContextManager[str]:
    return nullcontext("")


async def sweep(
    points: Sequence[Point],
    folder: Path,
    *,
    jobs: int = 1,
    databases: Databases = own_file,
    tell: Callable[[Report], None] = lambda _: None,
) -> list[Report]:
    """Try all `points`, `jobs` at a time, and `tell` of each when it is done.

    Points are tried one after the other in the same town, which is faster; after a violation the rest
    of them get a new one.
    """
    waiting = iter(enumerate(points))
    numbers = count()
    reports: dict[int, Report] = {}

    async def work() -> None:
        while len(reports) < len(points):
            with databases() as database:
                async with machine_in(folder / f"machine{next(numbers)}", database) as machine:
                    if not await _try_them(machine, waiting, reports, tell):
                        return

    await asyncio.gather(*(work() for _ in range(jobs)))
    return [reports[place] for place in sorted(reports)]


async def _try_them(
    machine: Machine,
    waiting: Iterator[tuple[int, Point]],
    reports: dict[int, Report],
    tell: Callable[[Report], None],
) -> bool:
    """False when there is nothing left to try; True when this machine is not to be trusted any more."""
    for place, point in waiting:
        reports[place] = await Trial(machine, point, place + 1).run(arrangement(point))
        tell(reports[place])
        if reports[place].violations:
            return True
    return False


# --- which points there are -------------------------------------------------------------------------


async def counted(
    folder: Path, provider: str, moment: str, databases: Databases = own_file
) -> Counter[tuple[str, str]]:
    """How often each call is made from that moment on when nothing is done to the bot, by the kind of
    thread that makes it."""
    point = Point(provider, moment, call=",".join((*FILE_CALLS, *SOCKET_CALLS)), number=NEVER)
    with databases() as database:
        async with machine_in(folder / f"count-{provider}-{moment}", database) as machine:
            if moment == "start":
                await machine.start(*point.options)
                await machine.untrace()
            elif (report := await Trial(machine, point, 0).run(arrangement(point))).violations:
                raise AssertionError(f"without being killed there: {report}")
            return _by_thread(machine.heard, str(machine.bot.pid if machine.bot else 0))


def _by_thread(heard: str, main: str) -> Counter[tuple[str, str]]:
    calls: Counter[tuple[str, str]] = Counter((pid or main, call) for pid, call in _CALL.findall(heard))
    writers = {pid for pid, call in calls if pid != main and call in FILE_CALLS}
    writer = max(writers, default="") if writers else max((pid for pid, _ in calls), default=main)
    found: Counter[tuple[str, str]] = Counter()
    for (pid, call), times in calls.items():
        if call in FILE_CALLS:
            found["all", call] = max(found["all", call], times)
        elif pid == main:
            found["main", call] = times
        elif pid == writer:
            found["writer", call] = times
    return found


def calls_of(numbers: Counter[tuple[str, str]], provider: str, moment: str) -> Iterator[Point]:
    """A point for each of them."""
    for (threads, call), times in sorted(numbers.items()):
        if moment in AT_START and threads == "writer":
            continue  # it does not exist when strace is attached
        for number in range(1, times + 1):
            yield Point(provider, moment, "all" if moment in AT_START else threads, call, number)


def breaking(numbers: Counter[tuple[str, str]], provider: str) -> Iterator[Point]:
    """The same calls fail instead, from one of them on or once."""
    for call, error, onwards in (
        ("pwrite64", "ENOSPC", True),
        ("pwrite64", "EIO", False),
        ("fdatasync", "EIO", False),
        ("fdatasync", "EIO", True),
    ):
        for number in range(1, numbers["all", call] + 1):
            yield Point(provider, "flow", "all", call, number, onwards, error)


def thinned(points: Sequence[Point], every: int, seed: int) -> list[Point]:
    """Each `every`-th; the seed picks the first."""
    return list(points[random.Random(seed).randrange(every) :: every])  # noqa: S311


def named() -> list[Point]:
    return [Point(provider, name=name) for name in NAMED for provider in PROVIDERS]
