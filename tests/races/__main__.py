"""Runs many rounds of every race, and says what was tried and what was violated."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from random import Random

from bot.logs import configure
from tests import postgres
from tests.races import cuts, people, stops
from tests.races.stage import TWO_AND_TWO, Stage, four_processes, in_process, seeded

Round = Callable[[Stage], Awaitable[None]]
Opened = Callable[[Path, Random, str], AbstractAsyncContextManager[Stage]]
FORMS = 20
"""Rounds of one person for one of a hundred forms at once, which is a hundred times the work."""
SLOW = 10
"""Rounds in this process for one with processes, which heed Slack's pace: some seconds each."""
COMMITS = 60
"""About as many as there are in a cancellation."""
CLICKS = (
    people.eight_clicks_by_one_person,
    people.two_approvers,
    people.approve_against_deny,
    people.approve_against_withdraw,
)


class Report:
    """Counts what was tried, prints it, and remembers what was violated."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.violated = 0

    def rng(self, what: str) -> Random:
        """The same for the same part of the same seed, whatever else is run."""
        return seeded(hash_of(f"{self.seed} {what}"))

    def add(self, what: str, rounds: int, began: float, found: list[str], ended: str = "") -> None:
        self.violated += len(found)
        each = (time.monotonic() - began) / max(rounds, 1)
        line = f"{what}: {rounds} rounds of {each:.1f} s, {len(found)} violated{ended}\n"
        sys.stdout.write(line + "".join(f"    VIOLATED: {one}\n" for one in found))
        sys.stdout.flush()


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode(), "big")


async def by_people(report: Report, where: str, opened: Opened, rounds: int) -> None:
    """All that people may do at once, in one town after the other."""
    for race, times in [
        *((race, rounds) for race in CLICKS),
        (people.a_hundred_requests_for_one_order, max(1, rounds // FORMS)),
    ]:
        await _rounds(report, f"{where}: {_title(race)}", race, opened, times)


async def at_the_last_moment(report: Report, rounds: int) -> None:
    """On requests that live for two seconds."""
    opened = partial(in_process, REQUEST_TTL="2s")
    await _rounds(
        report,
        "one process on SQLite: approve against expiry",
        people.approve_against_expiry,
        lambda folder, rng, _database: opened(folder, rng),
        rounds,
    )


async def at_commits(report: Report, rounds: int) -> None:
    what, began, found = "the connection to Postgres breaks at a commit", time.monotonic(), list[str]()
    rng = report.rng(what)
    for number in range(rounds):
        at, carried_out = rng.randint(1, COMMITS), number % 2 == 0
        with tempfile.TemporaryDirectory() as folder, postgres.new_database() as database:
            scissors = cuts.Scissors(at, carried_out)
            told = await cuts.cancelled_with(scissors, Path(folder), rng, database)
        found += [f"at commit {at}, {'after' if carried_out else 'before'}: {each}" for each in told]
    report.add(what, rounds, began, found)


async def at_moments(report: Report, times: int) -> None:
    """Processes that are stopped or killed, wherever that can be brought about."""
    for kind in stops.MOMENTS:
        for how, act in (
            ("killed", stops.killed_at),
            ("stopped, its link cut,", stops.stopped_at),
            ("stopped", partial(stops.stopped_at, keeps_its_link=True)),
        ):
            await _scenes(report, f"a worker is {how} {kind.name}", kind, act, times)
    for kind in stops.EVERYWHERE:
        await _scenes(report, f"the machine sleeps {kind.name}", kind, stops.asleep_at, times, alone=True)


async def _scenes(
    report: Report,
    what: str,
    kind: type[stops.Moment],
    act: Callable[[type[stops.Moment], stops.Scene], Awaitable[list[str]]],
    times: int,
    alone: bool = False,
) -> None:
    began, found, rng = time.monotonic(), list[str](), report.rng(what)
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder, postgres.new_database() as database:
            path = Path(folder)
            opened = stops.lonely_scene_in(path, rng) if alone else stops.scene_in(path, rng, database)
            async with opened as scene:
                found += await _tried(act(kind, scene))
    report.add(what, times, began, found)


async def _rounds(report: Report, what: str, race: Round, opened: Opened, times: int) -> None:
    began, found = time.monotonic(), list[str]()
    with tempfile.TemporaryDirectory() as folder, postgres.new_database() as database:
        async with opened(Path(folder), report.rng(what), database) as stage:
            for _ in range(times):
                found += await _tried(_nothing_of(race(stage)))
            found += stage.close()
            ended = ", ".join(f"{count} {word}" for word, count in sorted(stage.outcomes.items()))
    report.add(what, times, began, found, f" ({ended})" if ended else "")


async def _nothing_of(work: Awaitable[None]) -> list[str]:
    await work
    return []


async def _tried(work: Awaitable[list[str]]) -> list[str]:
    """What never came to its end is a violation like others."""
    try:
        return await work
    except (AssertionError, TimeoutError) as stuck:
        return [f"it came to no end: {type(stuck).__name__} {stuck}"]


def _title(race: Round) -> str:
    return getattr(race, "__name__", "").replace("_", " ")


def _alone(folder: Path, rng: Random, _database: str) -> AbstractAsyncContextManager[Stage]:
    return in_process(folder, rng)


def _together(folder: Path, rng: Random, database: str) -> AbstractAsyncContextManager[Stage]:
    return in_process(folder, rng, database, TWO_AND_TWO)


def _parts(rounds: int) -> Iterator[Callable[[Report], Awaitable[None]]]:
    slow = max(1, rounds // SLOW)
    yield lambda report: by_people(report, "one process on SQLite", _alone, rounds)
    yield lambda report: at_the_last_moment(report, slow)
    yield lambda report: by_people(report, "two and two bots on Postgres", _together, rounds)
    yield lambda report: by_people(report, "two and two processes on Postgres", four_processes, slow)
    yield lambda report: at_commits(report, rounds)
    yield lambda report: at_moments(report, max(1, rounds // 200))


async def _run(report: Report, rounds: int) -> None:
    for part in _parts(rounds):
        await part(report)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.races", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="of each race; 200 when left out")
    parser.add_argument("--seed", type=int, default=None, help="any number; a new one when left out")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    if why := postgres.why_not():
        sys.stdout.write(f"{why}\n")
        return 1
    report, began = Report(seed), time.monotonic()
    sys.stdout.write(f"seed {seed}; the same again: python -m tests.races --seed {seed}\n")
    with Path(os.devnull).open("w") as nowhere:
        configure("ERROR", "json", [], nowhere)  # what the bots in this process complain about
        asyncio.run(_run(report, given.rounds))
    sys.stdout.write(f"{report.violated} violated in {time.monotonic() - began:.0f} s, seed {seed}\n")
    return 1 if report.violated else 0


if __name__ == "__main__":
    sys.exit(main())
