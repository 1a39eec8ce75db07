"""The monthly report: counted from the history, on one page that needs nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

import bot.audit
from bot.audit.month import bounds, share
from bot.audit.report import in_short
from bot.events import (
    Answered,
    Approved,
    AttemptRefused,
    Denied,
    Event,
    Expired,
    FollowedUp,
    OrderRead,
    Permitted,
    QuorumReached,
    Requested,
)
from bot.model import Person, digest
from bot.store import Store
from providers.contract import Outcome, Result
from tests.bot.builders import ALICE, BOB, CAROL, CHANNEL, DAVE, TEAM, an_order
from tests.bot.stores import Clock, opened, url_of
from tests.bot.test_cli import here, run
from tests.bot.test_evidence import Reader
from tests.past_the_bot import change

__all__ = ["here"]
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
_numbers = count(1)


class Office:
    """Where requests are made and decided on, at times that are told."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock = store, clock

    def ask(self, at: datetime, provider: str = "digicert", by: Person = ALICE) -> str:
        """A request that was looked up within ten seconds; its ID."""
        self.clock.now = at
        request_id = f"{next(_numbers):032x}"
        asked = Requested(
            *(TEAM, CHANNEL, provider, "acct", request_id[-4:], request_id, by, "twice", 2),
            *(("S0ONCALL",), at + timedelta(hours=24)),
        )
        self.store.write_now(lambda unit: unit.begin(request_id, asked, request_id[-4:]))
        self.then(request_id, 10, OrderRead(an_order()))
        return request_id

    def then(self, request_id: str, seconds: float, *events: Event) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        for event in events:
            request = self.store.read_now(lambda unit: unit.request(request_id))
            assert request is not None
            if isinstance(event, Approved):
                event = Approved(event.by, digest(request), True, event.why)
            self.store.write_now(lambda unit, r=request, e=event: unit.save(r, [e]))  # type: ignore[misc]

    def approve(self, request_id: str, *waits: tuple[float, Person]) -> None:
        for seconds, by in waits:
            self.then(request_id, seconds, Approved(by, "", True, "on the list by name"))
        self.then(request_id, 0, QuorumReached())

    def send(self, request_id: str, *results: Result) -> None:
        first, *later = (Outcome(result, "The order is canceled.", "http_200") for result in results)
        self.then(request_id, 2, Permitted(f"epoch {request_id}", 1, an_order(), ()))
        self.then(request_id, 1, Answered(f"epoch {request_id}", first))
        for outcome in later:
            self.then(request_id, 60, FollowedUp(outcome))


def fill(office: Office) -> None:
    """Five requests of one month, and one of the month before and after."""
    for at in (NOVEMBER - timedelta(hours=1), bounds(2026, 11)[1]):
        office.then(office.ask(at, "tradernet"), 5, Denied(BOB, "no"))
    quick = office.ask(NOVEMBER)
    office.approve(quick, (50, BOB), (60, CAROL))
    office.send(quick, Result.CANCELLED)
    slow = office.ask(NOVEMBER + timedelta(days=1))
    office.then(slow, 20, AttemptRefused(ALICE, "approve", "own_request"))
    office.then(slow, 20, AttemptRefused(ALICE, "deny", "own_request"))
    office.approve(slow, (7150, BOB), (3600, DAVE))
    office.send(slow, Result.UNKNOWN, Result.CANCELLED)
    denied = office.ask(NOVEMBER + timedelta(days=2), "cpanel", BOB)
    office.then(denied, 30, Denied(CAROL, "wrong order"))
    expired = office.ask(NOVEMBER + timedelta(days=3), "cpanel", BOB)
    office.then(expired, 590, Approved(CAROL, "", True, "on the list by name"))
    office.then(expired, 86400, Expired())
    office.ask(bounds(2026, 11)[1] - timedelta(seconds=11), "payvalida")


@pytest.fixture
def database(here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    clock = Clock()
    with opened(here / "bot.db", clock) as store:
        fill(Office(store, clock))
    monkeypatch.setenv("DATABASE_URL", url_of(here / "bot.db"))
    return url_of(here / "bot.db")


def written(capsys: pytest.CaptureFixture[str], month: str = "2026-11") -> Reader:
    assert run(capsys, "audit", "report", "--month", month) == (
        0,
        f"The report is in {Path.cwd() / f'report-{month}.html'}.\n",
        "",
    )
    return Reader(Path(f"report-{month}.html").read_text("utf-8"))


@pytest.mark.usefixtures("database")
def test_a_month_is_counted_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    page = written(capsys)
    assert page.open == []
    for sentence in (
        "5 requests. 2 cancelled, 1 denied, 1 expired. Outcome unknown for a while: 1; "
        "a person was needed: 0; refused self-approvals: 1.",
        "Provider waiting for approval cancelled denied expired all "
        "cPanel · · 1 1 2 DigiCert · 2 · · 2 Payvalida 1 · · · 1 all 1 2 1 1 5",
        "From the request to requests median 90 % within longest "
        "first approval 3 10 min 00 s 2 h 00 min 2 h 00 min "
        "enough approvals 2 2 min 00 s 3 h 00 min 3 h 00 min "
        "outcome 4 2 min 03 s 1 d 00 h 1 d 00 h",
        "Asked by \\ approved by U0BOB U0CAROL U0DAVE U0ALICE 2 1 1 U0BOB · 1 ·",
        "Who Request What became of it 2026-11-02 00:00:30 U0ALICE",
        "from 2026-11-01 to before 2026-12-01 (UTC)",
    ):
        assert sentence in page.text, (sentence, page.text)
    unknown, expired = page.text.split("Outcome unknown for a while")[-1].split("Expired")
    assert (unknown.count("U0ALICE"), unknown.count("cancelled")) == (1, 1)
    assert "cpanel" in expired


@pytest.mark.usefixtures("database")
def test_it_is_one_file_that_runs_nothing_and_is_the_same_for_the_same_history(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = written(capsys)
    source = Path("report-2026-11.html").read_bytes()
    assert set(page.tags) & {"script", "img", "link", "iframe", "object", "image", "foreignobject"} == set()
    assert page.tags.count("svg") == 2
    references = re.findall(r'(?:href|src)="([^"]*)"', source.decode())
    assert [one for one in references if not one.startswith("#")] == []
    written(capsys)
    assert Path("report-2026-11.html").read_bytes() == source


@pytest.mark.usefixtures("database")
def test_a_month_without_a_request_is_a_page_that_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    page = written(capsys, "2026-02")
    assert "Nobody asked for a cancellation." in page.text
    assert "svg" not in page.tags


@pytest.mark.usefixtures("database")
def test_without_the_extra_a_sentence_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("plots", "report"):
        monkeypatch.delitem(sys.modules, f"bot.audit.{name}", raising=False)
        monkeypatch.delattr(bot.audit, name, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run(capsys, "audit", "report", "--month", "2026-11")
    assert (code, out) == (1, "")
    assert err.endswith("Install it beside the bot: python -m pip install 'matplotlib>=3.10,<4'\n")
    assert not list(here.glob("*.html"))
    monkeypatch.delenv("DATABASE_URL")
    code, _, err = run(capsys, "audit", "report", "--month", "2026-11")
    assert code == 3, "nothing to install where there is no database"
    assert "db upgrade" in err


@pytest.mark.parametrize("month", ["2026", "2026-13", "2026-1", "11-2026", "1999-01", "٢٠٢٦-11"])
def test_what_is_no_month_is_refused(capsys: pytest.CaptureFixture[str], here: Path, month: str) -> None:
    assert run(capsys, "audit", "report", "--month", month)[0] == 2


def test_a_history_that_was_changed_gives_no_report(
    capsys: pytest.CaptureFixture[str], database: str, here: Path
) -> None:
    change(database, "UPDATE event SET body = replace(body, 'U0BOB', 'U0EVE') WHERE seq = 3")
    assert run(capsys, "audit", "report", "--month", "2026-11")[0] == 4
    assert not list(here.glob("*.html"))


@pytest.mark.parametrize(
    ("part", "of", "found"),
    [
        (0.5, [3], 3),
        (0.5, [1, 2], 1),
        (0.5, [3, 1, 2], 2),
        (0.9, range(1, 11), 9),
        (0.9, range(1, 12), 10),
        (1.0, [1, 5], 5),
    ],
)
def test_a_share_is_a_time_that_was_measured(part: float, of: Sequence[int], found: int) -> None:
    assert share([timedelta(hours=one) for one in of], part) == timedelta(hours=found)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (None, "·"),
        (timedelta(seconds=59.7), "1 min 00 s"),
        (timedelta(seconds=3), "3 s"),
        (timedelta(minutes=65), "1 h 05 min"),
        (timedelta(days=2, hours=3, minutes=59), "2 d 03 h"),
    ],
)
def test_a_time_is_told_in_two_units(time: timedelta | None, words: str) -> None:
    assert in_short(time) == words
