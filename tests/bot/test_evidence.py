"""One request on one page for an auditor: complete, tied to the history, and harmless to open."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bot.audit.page import page, slack
from bot.blocks.thread import thread_line
from bot.events import (
    Answered,
    ApprovalTakenBack,
    ApprovalVerified,
    Approved,
    AttemptRefused,
    Event,
    FollowedUp,
    Held,
    OrderRead,
    Permitted,
    Questioned,
    QuorumReached,
    Requested,
)
from bot.model import Eligibility, Person, Request, Verdict, digest
from bot.store import Store
from providers.contract import Outcome, Result
from tests.bot.builders import (
    ALICE,
    BOB,
    CAROL,
    CHANNEL,
    DAVE,
    NOW,
    REQUEST_ID,
    TEAM,
    an_order,
    requests_in_every_state,
    some_facts,
)
from tests.bot.stores import Clock, opened, url_of
from tests.bot.test_cli import here, run
from tests.past_the_bot import change

__all__ = ["here"]
HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror=alert(1)> <b>&amp;</b> </pre></style> \u202egnp.exe \x07'
)
VOID = frozenset({"meta", "br"})


class Story:
    """A request with everything that can be told, an event at a time."""

    def __init__(
        self, store: Store, clock: Clock, reason: str, second: tuple[str, ...] = ("U0DAVE",)
    ) -> None:
        self._store, self._clock = store, clock
        store.write_now(lambda unit: unit.note("started", {"version": "0.1.0", "settings": "5e77"}))
        expires = NOW + timedelta(hours=24)
        asked = Requested(
            *(
                TEAM,
                CHANNEL,
                "digicert",
                "https://www.digicert.com northwind",
                "1042750",
                "key",
                ALICE,
                reason,
            ),
            *(2, ("S0ONCALL", BOB.user, CAROL.user), expires, ""),
            *((second, NOW + timedelta(hours=1)) if second else ()),
        )
        self.request: Request = store.write_now(lambda unit: unit.begin(REQUEST_ID, asked, "1042750"))
        self.then(OrderRead(an_order()))

    def then(self, *events: Event, after: float = 3) -> None:
        for event in events:
            self._clock.advance(timedelta(minutes=after, microseconds=41))
            before = self.request
            self.request = self._store.write_now(lambda unit, b=before, e=event: unit.save(b, [e]))  # type: ignore[misc]

    def approve(self, by: Person, why: str, *, verified: bool = True) -> None:
        self.then(Approved(by, digest(self.request), verified, why))


def tell(store: Store, clock: Clock, reason: str = "Ordered twice by mistake, see ticket 4711") -> None:
    story = Story(store, clock, reason)
    story.then(AttemptRefused(ALICE, "approve", "own_request"))
    story.approve(BOB, "Slack could not be read", verified=False)
    story.then(ApprovalVerified(BOB, "on call in the group S0ONCALL"))
    story.then(Questioned(CAROL, "Is the other order really paid?"))
    story.approve(CAROL, "on the list by name")
    story.then(ApprovalTakenBack(CAROL, "1763694000.000100"))
    story.approve(CAROL, "on the list by name")
    story.then(QuorumReached(), after=0)
    story.then(Held("the provider could not be asked"), after=0)
    judged = tuple(
        Verdict(person, Eligibility.ELIGIBLE, why)
        for person, why in ((BOB, "on call in the group S0ONCALL"), (CAROL, "on the list by name"))
    )
    story.then(Permitted("epoch", 1, an_order(), judged), after=1)
    story.then(
        Answered("epoch", Outcome(Result.UNKNOWN, "No answer within 30 s.", "read_timeout")), after=0.5
    )
    story.then(FollowedUp(Outcome(Result.CANCELLED, "The order is canceled.", "http_200", settled=True)))


@pytest.fixture
def database(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    clock, url = Clock(), url_of(tmp_path / "bot.db")
    with opened(tmp_path / "bot.db", clock) as store:
        tell(store, clock)
    monkeypatch.setenv("DATABASE_URL", url)
    return url


class Reader(HTMLParser):
    """What a browser makes of it: the tags, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def written(capsys: pytest.CaptureFixture[str], path: Path) -> Reader:
    code, out, err = run(capsys, "requests", "show", REQUEST_ID[:8], "--evidence", str(path))
    assert (code, out, err) == (0, f"The evidence is in {path}.\n", "")
    return Reader(path.read_text("utf-8"))


def test_it_says_where_the_page_is(database: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "requests", "show", REQUEST_ID, "--evidence", "page.html")
    assert (code, out) == (0, f"The evidence is in {here / 'page.html'}.\n")


def test_the_page_tells_who_decided_what_and_why_they_could(
    database: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = written(capsys, here / "page.html")
    assert shown.open == []
    for sentence in (
        "Outcome: cancelled. Asked for by U0ALICE. Approved by U0BOB, U0CAROL. One cancel was permitted.",
        "2026-11-21 03:06:00: U0ALICE tried to approve, which was refused (rule own_request).",
        "U0BOB approved; it did not count yet (Slack could not be read).",
        "Not counted yet Slack could not be read",
        "Confirmed 2026-11-21 03:12:00: on call in the group S0ONCALL",
        "U0CAROL asked the requester: Is the other order really paid?",
        "Taken back 2026-11-21 03:21:00",
        "Judged again, attempt 1 2026-11-21 03:25:00: may approve, on the list by name",
        "Approvals needed 2 different people, none of them the requester",
        "Who could approve S0ONCALL, U0BOB, U0CAROL",
        "Second line U0DAVE, from 2026-11-21 04:00:00 on",
        "nothing is proved [read_timeout]. No answer within 30 s.",
        "proved: cancelled [http_200]. The order is canceled.",
        "Its settings 5e77",
    ):
        assert sentence in shown.text, sentence
    assert shown.text.count("(the hash of this card )") + shown.text.count("(the hash of this card)") == 3


def test_a_request_that_calls_no_second_line_has_a_page_that_names_none(
    tmp_path: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with opened(tmp_path / "plain.db", clock) as store:
        Story(store, clock, "Ordered twice", second=())
    monkeypatch.setenv("DATABASE_URL", url_of(tmp_path / "plain.db"))
    shown = written(capsys, here / "page.html")
    assert "Who could approve S0ONCALL, U0BOB, U0CAROL Until" in shown.text
    assert "Second line" not in shown.text


def test_every_event_of_the_request_is_there_with_its_place_and_hash(
    database: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = written(capsys, here / "page.html")
    run(capsys, "audit", "export", "--output", "all.jsonl")
    rows = [line for line in (here / "all.jsonl").read_text().splitlines() if REQUEST_ID in line]
    assert len(rows) == 14
    for digest_ in (found for line in rows for found in re.findall(r'"(?:hash|previous)":"(\w+)"', line)):
        assert digest_ in shown.text


def test_each_card_is_the_one_of_the_moment_before_the_decision(
    database: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = written(capsys, here / "page.html")
    (part,) = re.findall("What each person saw, and decided(.*)The rules it was decided under", shown.text)
    assert re.findall(r"(\d) of 2 approvals so far", part) == ["0", "0", "1", "1", "2", "1"]


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(
    tmp_path: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with opened(tmp_path / "hostile.db", clock) as store:
        tell(store, clock, HOSTILE)
    monkeypatch.setenv("DATABASE_URL", url_of(tmp_path / "hostile.db"))
    shown = written(capsys, here / "page.html")
    assert not {"script", "img", "link", "iframe", "a", "form", "object"} & set(shown.tags)
    assert shown.attributes <= {"class", "lang", "charset", "http-equiv", "content", "name"}
    source = (here / "page.html").read_text("utf-8")
    assert not re.search(r"url\(|@import|src=|href=|\x07|\u202e", source.replace("src=x onerror", ""))
    assert "<script>alert(1)</script>" in shown.text
    assert "[U+202E]gnp.exe [U+0007]" in shown.text


def test_a_history_that_was_changed_gives_no_page(
    database: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(database, "UPDATE request SET requester = 'T0NORTH/U0DAVE'")
    assert run(capsys, "requests", "show", REQUEST_ID, "--evidence", "page.html")[0] == 4
    change(database, "UPDATE request SET requester = 'T0NORTH/U0ALICE'")
    change(database, "UPDATE event SET body = replace(body, 'mistake', 'intent') WHERE seq = 2")
    code, out, err = run(capsys, "requests", "show", REQUEST_ID, "--evidence", "page.html")
    assert (code, out) == (4, "")
    assert "event 2 " in err
    assert not (here / "page.html").exists()


def test_a_long_text_is_there_to_its_end() -> None:
    assert Reader(page("long", "x" * 12_000 + "end")).text.endswith("x" * 12_000 + "end")


@pytest.mark.parametrize("name", list(requests_in_every_state()))
def test_a_card_in_any_state_can_be_shown_on_paper(name: str) -> None:
    request = requests_in_every_state()[name]
    said = thread_line([QuorumReached()], request, some_facts()) or ""
    assert "<" not in re.sub(r"</?[a-z]+( class=\"[a-z]+\")?>", "", slack(f"{said} <@{DAVE.user}> *a & b*"))
