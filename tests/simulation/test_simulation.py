"""Two thousand seeded schedules of crashes and faults break no promise, and a seed replays exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.database import Database, on_sqlite
from tests.simulation.play import play
from tests.simulation.report import Report
from tests.simulation.schedule import schedule

SCHEDULES = 2000
PORTION = 250
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with on_sqlite() as database:
        yield database


@pytest.fixture(scope="module")
def report() -> Report:
    """What all portions tried together."""
    return Report()


@pytest.mark.parametrize("first", range(0, SCHEDULES, PORTION))
def test_no_schedule_breaks_a_promise(first: int, database: Database, report: Report) -> None:
    portion = Report()
    for seed in range(first, first + PORTION):
        portion.add(play(schedule(seed), database))
    report.merge(portion)
    assert not portion.violated, "\n".join(portion.failures())


def test_the_schedules_were_not_trivial(report: Report) -> None:
    if report.played < SCHEDULES:
        pytest.skip("only some of the schedules were played")
    assert report.what_is_missing() == []


def test_a_seed_replays_exactly(database: Database) -> None:
    seeds = range(40, 52)
    first = {seed: play(schedule(seed), database).trace for seed in seeds}
    again = {seed: play(schedule(seed), database).trace for seed in reversed(seeds)}
    assert again == first
    for seed in seeds[:2]:
        assert first[seed] in told_elsewhere(seed)


def told_elsewhere(seed: int) -> str:
    """What another process tells, in which sets of names have another order."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    told = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=100
    )
    return told.stdout
