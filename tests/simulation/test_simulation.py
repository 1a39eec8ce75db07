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
from tests.simulation.schedule import schedule

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with on_sqlite() as database:
        yield database


def test_two_thousand_schedules_try_everything_and_break_no_promise() -> None:
    played = told("--schedules", "2000")
    assert played.returncode == 0, played.stdout[-3000:] + played.stderr[-3000:]
    assert "0 violated a promise" in played.stdout


def test_a_seed_replays_exactly(database: Database) -> None:
    seeds = range(40, 52)
    first = {seed: play(schedule(seed), database).trace for seed in seeds}
    again = {seed: play(schedule(seed), database).trace for seed in reversed(seeds)}
    assert again == first
    for seed in seeds[:2]:
        assert first[seed] in told_elsewhere(seed)


def told_elsewhere(seed: int) -> str:
    """What another process tells, in which sets of names have another order."""
    return told("--seed", str(seed)).stdout


def told(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Bounded by the time that the whole may take on a machine that is busy with other things."""
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1500
    )
