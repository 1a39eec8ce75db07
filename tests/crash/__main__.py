"""Tries every point of a cancellation, and says what was violated; exit code 1 if anything was.

    python -m tests.crash                               # each seventh call; half an hour
    python -m tests.crash --every 1                     # each call; some hours
    python -m tests.crash --seed 3                      # other sevenths
    python -m tests.crash --point fdatasync:17 --point tradernet/card-taken
    python -m tests.crash --database postgres --jobs 4

A point that is printed can be given to --point as it is. What the names mean: tests/crash/points.py.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.crash import strace
from tests.crash.points import PROVIDERS, Point
from tests.crash.sweep import Databases, breaking, calls_of, counted, named, own_file, sweep, thinned
from tests.crash.trial import Report

KINDS = ("named", "calls", "errors")


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    if why := strace.why_not():
        sys.stderr.write(f"{why}\n")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever was started is put away as well
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # that clients vanish is the point
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        reports = asyncio.run(_tried(given, Path(folder)))
    _sum_up(reports, time.monotonic() - began)
    return 1 if any(report.violations for report in reports) else 0


def _parser() -> argparse.ArgumentParser:
    text = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m tests.crash", None, text[0], text[2], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--point", action="append", type=Point.parse, help="only this one; may be repeated")
    parser.add_argument("--only", choices=KINDS, action="append", help="only points of this kind")
    parser.add_argument(
        "--every", type=int, default=7, help="only each n-th system call (7); 1 for all of them"
    )
    parser.add_argument("--seed", type=int, default=0, help="which of those comes first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="machines at a time")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    return parser


async def _tried(given: argparse.Namespace, folder: Path) -> list[Report]:
    databases = _databases(given.database)
    points = given.point or await _points(given, folder, databases)
    if not given.point:
        _say(f"{len(points)} points, {given.jobs} at a time")
    return await sweep(points, folder, jobs=given.jobs, databases=databases, tell=lambda one: _say(str(one)))


async def _points(given: argparse.Namespace, folder: Path, databases: Databases) -> list[Point]:
    kinds = given.only or KINDS
    points = named() if "named" in kinds else []
    many: list[Point] = []
    for provider in PROVIDERS:
        for moment in ("flow", "start", "again"):
            if moment == "start" and provider != PROVIDERS[0]:
                continue  # no provider takes part in it
            numbers = await counted(folder, provider, moment, databases)
            _say(f"{provider}, {moment}: " + ", ".join(f"{n} {' '.join(c)}" for c, n in numbers.items()))
            many += calls_of(numbers, provider, moment) if "calls" in kinds else []
            many += breaking(numbers, provider) if "errors" in kinds and moment == "flow" else []
    return points + thinned(many, given.every, given.seed)


def _databases(kind: str) -> Databases:
    if kind == "sqlite":
        return own_file
    from tests import postgres  # brings a server with it

    return postgres.new_database


def _sum_up(reports: Sequence[Report], seconds: float) -> None:
    moments = Counter(moment for report in reports for moment in report.moments)
    _say("\nKilled while it was: " + ", ".join(f"{name} ({many})" for name, many in moments.most_common()))
    bad = [report for report in reports if report.violations]
    missed = [report.point for report in reports if not report.reached]
    if missed:
        _say(f"Never reached: {', '.join(missed)}")
    slowest = max((report.ready_after for report in reports), default=0.0)
    _say(
        f"{len(reports)} points in {seconds:.0f} s, {moments.total()} deaths, ready again within "
        f"{slowest:.1f} s, {sum(len(report.violations) for report in bad)} violations."
    )
    if bad:
        _say("Again: python -m tests.crash " + " ".join(f"--point {report.point}" for report in bad))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
