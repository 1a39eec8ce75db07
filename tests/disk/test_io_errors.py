"""A disk that fails at some call: what was told to be written is there, the rest is not, nothing is half."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.disk.experiments import lose_power_while_writing
from tests.disk.judge import Effort
from tests.disk.misfortune import BROKEN, FULL, NEVER, SAID, Fault, Life, calls_of, suffer, used_after_failing
from tests.disk.trace import needs_strace

SEED = 1


@pytest.fixture(autouse=True)
def traced() -> None:
    needs_strace()


def some(fault: Fault, count: int) -> list[int]:
    """A few of the calls that one life makes."""
    return sorted(Random(f"{SEED} {fault}").sample(calls_of(fault.call), count))  # noqa: S311


@pytest.mark.parametrize("fault", FULL[1:], ids=lambda fault: f"{fault.times or 'all'} later")
def test_on_a_full_disk_each_write_is_there_or_was_refused_in_a_sentence(
    tmp_path: Path, fault: Fault
) -> None:
    lives, _ = suffer(tmp_path / "disk", fault, [NEVER, *some(fault, 6)])
    assert {life.which: life.problems(fault) for life in lives} == {life.which: [] for life in lives}
    assert refused(lives) == {f"{SAID}database or disk is full."}
    assert not any(lives[0].came), "without a fault everything is written"


@pytest.mark.parametrize("fault", BROKEN[:2], ids=lambda fault: fault.call)
def test_on_a_broken_disk_each_write_is_there_or_was_refused_in_a_sentence(
    tmp_path: Path, fault: Fault
) -> None:
    lives, calls = suffer(tmp_path / "disk", fault, some(fault, 6))
    assert {life.which: life.problems(fault) for life in lives} == {life.which: [] for life in lives}
    assert refused(lives) == {f"{SAID}disk I/O error."}
    assert used_after_failing(calls) == [], "a connection whose sync failed is not used again"


def refused(lives: list[Life]) -> set[str]:
    return {said for life in lives for said in life.came if said}


@pytest.mark.parametrize("number", [7, 12])
def test_after_a_failed_sync_a_power_cut_still_forgets_nothing_that_was_acknowledged(
    tmp_path: Path, number: int
) -> None:
    """The kernel forgets what it could not write, and the next sync succeeds: what was to be synced then
    may be lost although it can still be read."""
    score, life = lose_power_while_writing(
        tmp_path / "disk", "as shipped", Effort(share=0, fates=1), inject=f"fdatasync:error=EIO:when={number}"
    )
    assert score.wrong == []
    assert life.progress.failed == 1
