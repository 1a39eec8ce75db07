"""A dozen points of the sweep, in the ordinary run. All of them: `make crash`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.crash import strace
from tests.crash.cancellation import Cancellation
from tests.crash.machine import machine_in
from tests.crash.moments import NAMED, arrangement
from tests.crash.points import Point
from tests.crash.sweep import named, sweep
from tests.crash.trial import Report, Trial
from tests.crash.verdict import violations

KILLED = (
    "request-saved",
    "card-taken",
    "first-approval-saved",
    "permit/pwrite64:2",
    "before-first-byte",
    "cancel-arrived",
    "tradernet/answer/pwrite64:1",
    "outcome-taken",
    "look-up-after-crash",
    "tradernet/fdatasync:9",
)
AT_ONCE = 3


@pytest.fixture
def traced() -> None:
    strace.required()


async def tried(points: Sequence[str], folder: Path) -> list[Report]:
    return await sweep([Point.parse(text) for text in points], folder, jobs=AT_ONCE)


def wrong(reports: Sequence[Report]) -> str:
    return "\n".join(str(report) for report in reports if report.violations or not report.reached)


@pytest.mark.usefixtures("traced")
async def test_killed_anywhere_it_forgets_nothing_and_cancels_once(tmp_path: Path) -> None:
    reports = await tried(KILLED, tmp_path)
    assert wrong(reports) == ""
    moments = {moment for report in reports for moment in report.moments}
    assert moments >= {
        "pending",
        "approved",
        "executing, not sent",
        "executing, sent",
        "unknown",
        "cancelled",
    }


@pytest.mark.usefixtures("traced")
async def test_killed_in_ten_starts_in_a_row_it_recovers_in_the_next(tmp_path: Path) -> None:
    (report,) = await tried(["ten-starts"], tmp_path)
    assert wrong([report]) == ""
    assert len(report.moments) == 11


@pytest.mark.usefixtures("traced")
async def test_killed_while_it_sets_up_an_empty_database_it_does_so_at_the_next_start(tmp_path: Path) -> None:
    assert wrong(await tried(["start/pwrite64:30"], tmp_path)) == ""


@pytest.mark.usefixtures("traced")
async def test_it_goes_on_by_itself_when_a_full_disk_has_room_again(tmp_path: Path) -> None:
    assert wrong(await tried(["permit/pwrite64:1+:ENOSPC"], tmp_path)) == ""


@pytest.mark.usefixtures("traced")
async def test_a_click_that_found_the_disk_full_is_not_answered_with_ok_in_the_end(tmp_path: Path) -> None:
    assert wrong(await tried(["first/pwrite64:1+:ENOSPC"], tmp_path)) == ""


@pytest.mark.usefixtures("traced")
async def test_a_disk_that_fails_once_costs_nothing_and_the_verdict_on_that_is_no_formality(
    tmp_path: Path,
) -> None:
    async with machine_in(tmp_path) as machine:
        trial = Trial(machine, Point.parse("fdatasync:12:EIO"), 1)
        report = await trial.run(arrangement(trial.point))
        assert wrong([report]) == ""
        found = "\n".join(violations(tampered(trial)))
    assert "sent again although it had been carried out" in found
    assert "2 sends on 1 permits" in found
    assert "the approval of dan was answered with ok and is not stored" in found
    assert "posted 2 times instead of 1" in found
    assert "something that Slack does not like" in found


def tampered(trial: Trial) -> Cancellation:
    """The same as if the bot had done some of what it must never do."""
    done, vendor = trial.done, trial.vendor
    vendor.sends.append(done.reference)
    vendor.seen.append(next(seen for seen in reversed(vendor.seen) if seen.changes))
    done.approved.add("dan")
    done.cards[-1].thread.append(done.outcomes[-1])
    done.world.workspace.problem("it did something that Slack does not like")
    return done


@pytest.mark.parametrize(
    "text",
    [
        "fdatasync:17",
        "writer.sendto:4",
        "connect:2",
        "tradernet/permit/pwrite64:3",
        "start/pwrite64:30",
        "again/sendto:7",
        "pwrite64:40+:ENOSPC",
        "tradernet/fdatasync:9:EIO",
        *map(str, named()),
    ],
)
def test_a_point_is_repeated_by_the_name_it_is_printed_with(text: str) -> None:
    assert str(Point.parse(text)) == text


@pytest.mark.parametrize("text", ["nowhere/fdatasync:1", "start/writer.sendto:1", "start/pwrite64:1:EIO"])
def test_what_is_no_point_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Point.parse(text)


def test_a_name_that_nobody_gave_is_refused() -> None:
    assert arrangement(Point.parse("card-taken")) is NAMED["card-taken"]
    with pytest.raises(ValueError, match="card-eaten"):
        arrangement(Point.parse("card-eaten"))


def test_without_strace_it_is_skipped_with_advice_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    strace.why_not.cache_clear()
    try:
        with pytest.raises(pytest.skip.Exception, match="strace"):
            strace.required()
        monkeypatch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="strace"):
            strace.required()
    finally:
        strace.why_not.cache_clear()
