"""The benchmark: its arithmetic, and that its floors and its bot run."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlmodel import Session, select

from bench import history, minute, start
from bench.figures import QUICK_PAIRS, Figure, as_json, quantile, table
from bot import cli
from bot.model import State, digest, reference_key
from bot.store import Store
from bot.store.chain import Head
from bot.store.codec import dump_event, load_event, load_request
from bot.store.requests import row_of
from bot.store.sqlite import engine_for_migrations, path_of
from bot.store.tables import EventRow, RequestRow


def figure(**limits: float) -> Figure:
    return Figure("row", "an answer", "ms", [30.0, 10.0, 20.0], [10.0, 10.0, 10.0], **limits)


def test_a_ratio_is_taken_within_each_pair_and_shown_with_its_spread() -> None:
    assert figure().ratios == [3.0, 1.0, 2.0]
    assert "| an answer | 20 ms | 10 ms | 2.00x (1.00 to 3.00) | - | - |" in table([figure()])


@pytest.mark.parametrize(
    ("limits", "reached"),
    [
        ({"at_most": 2.0}, True),
        ({"at_most": 1.9}, False),
        ({"at_least": 2.0}, True),
        ({"at_least": 2.1}, False),
        ({"at_most": 2.0, "ceiling": 30.0}, True),
        ({"at_most": 2.0, "ceiling": 29.0}, False),
        ({}, None),
    ],
)
def test_what_is_to_be_reached_is_held_against_the_median_and_the_ceiling_against_all(
    limits: dict[str, float], reached: bool | None
) -> None:
    assert figure(**limits).is_reached is reached
    assert as_json([figure(**limits)], quick=True, seconds=1)["figures"][0]["is_reached"] is reached


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([5.0], 0.5) == 5.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_the_raw_results_do_not_name_the_machine() -> None:
    machine = as_json([figure()], quick=False, seconds=1)["machine"]
    assert set(machine) == {"cores", "architecture", "python", "load_1m"}
    assert str(Path.home()) not in str(machine)


async def test_a_row_measures_the_real_process_beside_its_floor() -> None:
    said: list[str] = []
    ready, memory = await start.measure(said.append, quick=True)
    assert len(ready.ratios) == len(memory.ratios) == len(said) == QUICK_PAIRS
    assert all(0.1 < ratio < 10 for figure in (ready, memory) for ratio in figure.ratios)


PAST = 230
"""Requests: more than there are people who ask, so that everybody's turn comes again."""
SOME = (0, 1, 99, 100, PAST - 1)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('past') / 'past.db'}"
    history.build(url, PAST)
    return url


def test_a_past_that_was_made_for_a_measurement_verifies_and_adds_up(past: str) -> None:
    store = Store(past)
    try:
        assert store.read_now(lambda unit: unit.verify(Head())).seq == PAST * history.EVENTS
        for number in SOME:
            request = store.read_now(lambda unit, number=number: unit.request(history.id_of(number)))  # type: ignore[misc]
            assert request is not None
            store.read_now(lambda unit, request=request: unit.prove(request))  # type: ignore[misc]
            assert request.state is State.CANCELLED
    finally:
        store.close()


def test_a_past_is_spelled_as_the_bot_would_spell_it(past: str) -> None:
    with Session(engine_for_migrations(past)) as session:
        for number in SOME:
            row = session.get_one(RequestRow, history.id_of(number))
            request = load_request(row.body)
            assert row.model_dump(exclude={"by_itself"}) == row_of(request)
            assert request.reference_key == reference_key("digicert", request.account, request.reference)
            assert {approval.digest for approval in request.approvals} == {digest(request)}
            mine = select(EventRow.body).where(EventRow.request_id == request.id)
            for body in session.exec(mine):
                assert dump_event(load_event(body)) == body


def test_a_past_has_the_indexes_and_the_mode_of_a_database_of_the_bot(past: str, tmp_path: Path) -> None:
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    history.build(empty, 0)
    schemas = []
    for url in (past, empty):
        with closing(sqlite3.connect(path_of(url))) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            schemas.append(
                sorted(database.execute("SELECT type, name, sql FROM sqlite_master WHERE sql > ''"))
            )
    assert schemas[0] == schemas[1]


def test_a_past_is_listed(
    past: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", past)
    with pytest.raises(SystemExit) as ended:
        cli.main(["requests", "list", "--limit", "3"])
    assert not ended.value.code
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [history.id_of(PAST - number)[:8] for number in (1, 2, 3)]


async def test_nothing_is_lost_when_many_approve_at_once_and_slack_holds_to_its_limits() -> None:
    said: list[str] = []
    settled, slowest = await minute.measure(said.append, quick=False, clicks=4 * minute.PLACES)
    posts = 2 * len(("approved", "approved, quorum", "cancelling", "outcome"))
    assert settled.floor == [posts - minute.BURST]
    assert slowest.is_reached
