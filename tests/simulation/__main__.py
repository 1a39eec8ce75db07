"""Play seeded schedules of crashes and faults, and check every promise after every step.

python -m tests.simulation                       # 10,000 schedules on SQLite
python -m tests.simulation --postgres            # on a Postgres that is brought along
python -m tests.simulation --seed 4711           # one of them, told step by step
python -m tests.simulation --database postgresql://…   # on this one, which is emptied each time
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from tests import postgres
from tests.simulation.database import Database, on_postgres, on_sqlite, opened
from tests.simulation.play import play
from tests.simulation.report import Report
from tests.simulation.schedule import schedule

PORTION = 100
ENOUGH = 2000
"""Schedules of which it can be expected that everything happens in some."""

Open = Callable[[], AbstractContextManager[Database]]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000, metavar="N", help="how many (10,000)")
    parser.add_argument(
        "--from", type=int, default=0, dest="first", metavar="SEED", help="the first seed (0)"
    )
    parser.add_argument("--seed", type=int, metavar="SEED", help="play only this one, and tell all of it")
    parser.add_argument("--postgres", action="store_true", help="on a Postgres that is brought along")
    parser.add_argument("--database", metavar="URL", help="on this database: migrated, and emptied each time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="at once")
    given = parser.parse_args(arguments)
    open_database: Open = on_sqlite
    where, jobs = "", given.jobs
    if given.database:
        open_database, where, jobs = partial(opened, given.database), f" --database {given.database}", 1
    elif given.postgres:
        open_database, where = on_postgres, " --postgres"
        postgres.required()  # started here, so that it is stopped here
        postgres.template()  # made here, because several players would each make it
    if given.seed is not None:
        return _tell(given.seed, open_database)
    return _count(range(given.first, given.first + given.schedules), open_database, where, jobs)


def _tell(seed: int, open_database: Open) -> int:
    """One schedule, step by step."""
    with open_database() as database:
        world = play(schedule(seed), database)
    print(world.schedule, *world.log, sep="\n")
    print(f"\nseed {seed}: {len(world.violations)} violated; trace {world.trace}")
    return 1 if world.violations else 0


def _count(seeds: range, open_database: Open, where: str, jobs: int) -> int:
    """Many, and what was tried in all of them."""
    started, report = time.monotonic(), Report()
    print(f"schedules {seeds.start} to {seeds.stop - 1}{where or ' on SQLite'}, {jobs} at once", flush=True)
    for part in _parts(seeds, open_database, jobs):
        report.merge(part)
        rate = report.played / (time.monotonic() - started)
        if sys.stderr.isatty():
            print(f"\r{report.played} played, {rate:.0f} a second", end="", file=sys.stderr, flush=True)
    print(*report.lines(where), sep="\n")
    print(f"{report.played / (time.monotonic() - started):.1f} schedules a second.")
    missing = report.what_is_missing() if report.played >= ENOUGH else []
    for name in missing:
        print(f"never tried: {name}")
    return 1 if report.violated or missing else 0


def _parts(seeds: range, open_database: Open, jobs: int) -> Iterator[Report]:
    portions = [seeds[start : start + PORTION] for start in range(0, len(seeds), PORTION)]
    work = partial(play_all, open_database)
    if jobs == 1:
        yield from map(work, portions)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(work, portions)


def play_all(open_database: Open, seeds: Iterable[int]) -> Report:
    report = Report()
    with open_database() as database:
        for seed in seeds:
            report.add(play(schedule(seed), database))
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
