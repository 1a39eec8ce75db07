"""The history as a file: the same bytes for the same events, harmless in a spreadsheet, and every change of
it noticed without the database."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.audit.export import check, export
from bot.audit.formats import CSV, FORMATS, JSONL
from bot.audit.history import Choice, Row, verify
from bot.errors import ChainBroken, StorageError
from bot.store.reading import reading
from tests import postgres
from tests.bot.histories import EVENTS, REQUESTS, TRICKY, write_history
from tests.bot.stores import Clock, opened, sql, url_of
from tests.bot.test_cli import ROOT, here, run
from tests.past_the_bot import change

__all__ = ["here"]
FILTERED = Choice(provider="cpanel")
each_format = pytest.mark.parametrize("form", list(FORMATS))
each_choice = pytest.mark.parametrize("choice", [Choice(), FILTERED], ids=["everything", "some of it"])


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("export") / "bot.db"
    clock = Clock()
    with opened(path, clock) as store:
        write_history(store, clock)
    return url_of(path)


@pytest.fixture(scope="module")
def exported(database: str) -> Callable[[str, Choice], bytes]:
    kept: dict[tuple[str, Choice], bytes] = {}

    def one(form: str, choice: Choice) -> bytes:
        if (form, choice) not in kept:
            kept[form, choice] = whole(database, form, choice)
        return kept[form, choice]

    return one


Exported = Callable[[str, Choice], bytes]
EVERYTHING = Choice()


def whole(url: str, form: str, choice: Choice = EVERYTHING) -> bytes:
    with reading(url) as connection:
        return b"".join(export(connection, choice, FORMATS[form]))


def is_right(file: bytes) -> bool:
    try:
        check(io.BytesIO(file))
    except ChainBroken:
        return False
    return True


def broken_at(file: bytes) -> int:
    with pytest.raises(ChainBroken) as broken:
        check(io.BytesIO(file))
    return broken.value.seq


def json_rows(file: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.splitlines()]


# --- what is in it ------------------------------------------------------------------------------------


@each_format
def test_the_same_history_gives_the_same_bytes_on_either_database(form: str, exported: Exported) -> None:
    with postgres.new_database() as url:
        clock = Clock()
        with opened(url, clock) as store:
            write_history(store, clock)
        for choice in (Choice(), FILTERED):
            assert whole(url, form, choice) == exported(form, choice)


def test_whoever_has_only_the_json_lines_can_work_out_every_hash(exported: Exported) -> None:
    rows = json_rows(exported("jsonl", Choice()))
    previous = "0" * 64
    for number, row in enumerate(rows, start=1):
        content = [row["seq"], row["request_id"], row["at"], row["kind"], row["body"], row["previous"]]
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        assert (row["seq"], row["previous"]) == (number, previous)
        assert row["hash"] == hashlib.sha256(text.encode()).hexdigest()
        previous = row["hash"]
    assert len(rows) == EVENTS
    assert any(json.loads(row["body"]).get("reason") == TRICKY for row in rows)


def test_what_the_documentation_tells_an_auditor_to_run_does_what_it_says(
    here: Path, exported: Exported, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/audit.md").read_text("utf-8"), re.DOTALL)
    (here / "history.jsonl").write_bytes(exported("jsonl", Choice()))
    subprocess.run([sys.executable, "-X", "utf8", "-c", program], check=True)
    (here / "history.jsonl").write_bytes(exported("jsonl", Choice()).replace(b"U0BOB", b"U0EVE", 1))
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 1


def test_the_csv_says_the_same_once_its_apostrophes_are_taken_away(exported: Exported) -> None:
    text = exported("csv", Choice()).decode()
    assert text.count("\r\n") == text.count("\n") == EVENTS + 1
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    plain = [{name: unquote(v[1:]) if v.startswith("'") else v for name, v in row.items()} for row in rows]
    wanted = json_rows(exported("jsonl", Choice()))
    assert plain == [{name: "" if v is None else str(v) for name, v in row.items()} for row in wanted]


def test_no_cell_is_a_formula_and_no_character_is_more_than_text(tmp_path: Path, exported: Exported) -> None:
    text = exported("csv", Choice()).decode()
    for cell in (cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert not set(cell) & set("\x00\x07\t\r\n\x1b\x7f\x85\u2028\u2029\u202e\ufeff")


@pytest.mark.parametrize(
    "kind", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "a\x1bb", "50%", "'", ""]
)
@each_format
def test_a_cell_comes_back_exactly_as_it_was(tmp_path: Path, form: str, kind: str) -> None:
    with opened(tmp_path / "bot.db", Clock()) as store:
        store.write_now(lambda unit: unit.note(kind, {}))
    file = whole(url_of(tmp_path / "bot.db"), form)
    assert check(io.BytesIO(file)).rows == 1
    if form == "csv":
        (cell,) = [row["kind"] for row in csv.DictReader(io.StringIO(file.decode(), newline=""))]
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert (unquote(cell[1:]) if cell.startswith("'") else cell) == kind


TEXT = st.text() | st.text("=+-@',\" a%\r\n\u2028\ufeffü", max_size=4)
SEQ = st.integers(1, 10**15 - 1)


@given(st.builds(Row, SEQ, TEXT, TEXT, TEXT, TEXT | st.none(), TEXT, TEXT), st.booleans())
def test_the_lines_are_those_that_the_libraries_write(row: Row, selected: bool) -> None:
    selection = "0" * 64 if selected else ""
    cells = row._asdict() | ({"selection": selection} if selection else {})
    assert JSONL.write(row, selection) == json.dumps(cells, separators=(",", ":")).encode() + b"\n"
    line, again = CSV.write(row, selection), io.StringIO(newline="")
    csv.writer(again).writerows(csv.reader([line.decode()], strict=True))
    assert line == again.getvalue().encode()
    assert CSV.read(line) == (row, selection)


# --- which events -------------------------------------------------------------------------------------

CHOICES = {
    "a provider": (["--provider", "cpanel"], 8 * REQUESTS // 3),
    "a state": (["--state", "cancelled"], 8 * REQUESTS),
    "another state": (["--state", "denied"], 0),
    "a person": (["--person", "U0BOB"], REQUESTS),
    "nobody": (["--person", "U0NOBODY"], 0),
    "from then on": (["--since", "2026-11-22T02:00"], 8 + 8 + 4),
    "before that": (["--until", "2026-11-21 04:00"], 4),
    "one day": (["--since", "2026-11-21", "--until", "2026-11-22"], 4 + 8 * 20),
}


@pytest.mark.parametrize("name", CHOICES)
def test_an_export_of_some_events_has_those_and_verifies(
    name: str, database: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    options, count = CHOICES[name]
    assert run(capsys, "audit", "export", "--format", "jsonl", "--output", "some.jsonl", *options)[0] == 0
    assert len((here / "some.jsonl").read_bytes().splitlines()) == count
    code, out, err = run(capsys, "audit", "verify", "--export", "some.jsonl")
    if count:
        assert (code, err) == (0, "")
        assert out.startswith(f"The export verifies: {count} of the events ")
    else:
        assert (code, err) == (4, "The export does not verify: there is no event in the file.\n")


def test_a_reason_that_imitates_a_person_is_not_one(tmp_path: Path) -> None:
    with opened(tmp_path / "bot.db", Clock()) as store:
        store.write_now(lambda unit: unit.note("said", {"reason": '"user":"U0BOB"'}))
    assert whole(url_of(tmp_path / "bot.db"), "jsonl", Choice(person="U0BOB")) == b""


@pytest.mark.parametrize(
    "option", ["--since=yesterday", "--person=bob", "--provider=nobody", "--format=xlsx"]
)
def test_a_choice_that_means_nothing_is_refused(
    capsys: pytest.CaptureFixture[str], here: Path, option: str
) -> None:
    assert run(capsys, "audit", "export", "--format", "csv", option)[0] == 2


# --- changed files ------------------------------------------------------------------------------------


@each_choice
@each_format
def test_one_changed_byte_anywhere_in_the_file_is_noticed(
    form: str, choice: Choice, exported: Exported
) -> None:
    lines = exported(form, choice).splitlines(keepends=True)
    for at in (0, 1, 2, 5, 11, 23):
        for position in range(0, len(lines[at]), 3):
            changed = bytearray(lines[at])
            changed[position] ^= 1
            kept = lines[: at + 3]
            assert not is_right(b"".join([*kept[:at], bytes(changed), *kept[at + 1 :]])), (at, position)


@each_choice
@each_format
def test_a_row_that_was_taken_out_doubled_or_swapped_is_noticed(
    form: str, choice: Choice, exported: Exported
) -> None:
    lines = exported(form, choice).splitlines(keepends=True)
    rows = range(1 if form == "csv" else 0, len(lines) - 1)
    for at in (*rows[:3], *rows[3:-3:23], *rows[-3:]):
        one, two = lines[at], lines[at + 1]
        for between in ([two], [one, one, two], [two, one], [one, two, one]):
            assert not is_right(b"".join([*lines[:at], *between, *lines[at + 2 :]])), at


@each_format
def test_the_first_bad_row_of_a_whole_export_is_named(form: str, exported: Exported) -> None:
    lines = exported(form, Choice()).splitlines(keepends=True)
    heading = len(lines) - EVENTS
    for seq in (1, 2, 50, 199):
        at = seq - 1 + heading
        assert broken_at(b"".join(lines[:at] + lines[at + 1 :])) == seq
        changed = lines[at].replace(b"2026-", b"2025-", 1)
        assert broken_at(b"".join([*lines[:at], changed, *lines[at + 1 :]])) == seq


@each_format
def test_a_line_that_was_cut_off_is_noticed_and_lines_that_are_gone_change_the_head(
    form: str, exported: Exported
) -> None:
    file = exported(form, Choice())
    end = len(file.splitlines(keepends=True)[-1])
    assert not any(is_right(file[:-cut]) for cut in range(1, end))
    before, after = check(io.BytesIO(file[:-end])), check(io.BytesIO(file))
    assert (before.last.seq, after.last.seq) == (EVENTS - 1, EVENTS)


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"\n",
        b"a,b\r\n",
        b"{}\n",
        b"[]\n",
        b'{"seq":1}\n',
        b"\xff\xfe",
        b"\0" * 99,
        b'{"seq":' + b"9" * 6000 + b"}\n",
        b"{" * 100_000,
    ],
)
def test_what_is_no_export_is_said_to_be_none(
    capsys: pytest.CaptureFixture[str], here: Path, file: bytes
) -> None:
    (here / "file").write_bytes(file)
    code, out, err = run(capsys, "audit", "verify", "--export", "file")
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert err.startswith("The export does not verify: ")


def test_a_json_line_that_repeats_a_name_or_holds_no_text_is_no_event(exported: Exported) -> None:
    first, *rest = exported("jsonl", Choice()).splitlines(keepends=True)
    for old, new in (
        (b'"seq":1,', b'"seq":2,"seq":1,'),
        (b'"seq":1,', b'"seq":true,'),
        (b'"started"', b'"\\ud800"'),
    ):
        assert not is_right(b"".join([first.replace(old, new), *rest]))


# --- the command ----------------------------------------------------------------------------------------


def test_a_history_that_does_not_verify_is_not_exported(
    tmp_path: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with opened(tmp_path / "bot.db", clock) as store:
        write_history(store, clock)
    monkeypatch.setenv("DATABASE_URL", url_of(tmp_path / "bot.db"))
    change(
        url_of(tmp_path / "bot.db"),
        "UPDATE event SET body = replace(body, 'twice', 'thrice'), kind = 'x' WHERE seq = 77",
    )
    for more in ([], ["--output", "x.csv"], ["--output", "x.csv", "--provider", "cpanel"]):
        code, out, err = run(capsys, "audit", "export", "--format", "csv", *more)
        assert (code, out) == (4, "")
        assert "event 77 " in err
    assert sorted(path.name for path in here.iterdir()) == ["bot.db"]


def test_the_file_appears_when_it_is_complete_and_for_its_owner_only(
    database: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    exported: Exported,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    (here / "out.csv").write_text("from yesterday")
    assert run(capsys, "audit", "export", "--format", "csv", "--output", "out.csv") == (
        0,
        f"The export is in {here / 'out.csv'}.\n",
        "",
    )
    assert (here / "out.csv").read_bytes() == exported("csv", Choice())
    assert stat.S_IMODE((here / "out.csv").stat().st_mode) == 0o600
    assert run(capsys, "audit", "export", "--format", "csv")[1].encode() == exported("csv", Choice())
    code, _, err = run(capsys, "audit", "export", "--format", "csv", "--output", "nowhere/out.csv")
    assert (code, err) == (1, "nowhere/out.csv cannot be written: No such file or directory.\n")


# --- reading only ---------------------------------------------------------------------------------------


@pytest.fixture
def evidence(tmp_path: Path) -> Iterator[Path]:
    """A copy that nobody may change, in a folder where nothing can be made."""
    clock, folder = Clock(), tmp_path / "evidence"
    folder.mkdir()
    with opened(folder / "bot.db", clock) as store:
        write_history(store, clock)
    (folder / "bot.db").chmod(0o444)
    folder.chmod(0o555)
    yield folder / "bot.db"
    folder.chmod(0o755)


def test_a_copy_that_cannot_be_written_is_read_and_left_exactly_as_it_was(evidence: Path) -> None:
    before = evidence.read_bytes(), evidence.stat().st_mtime_ns
    with reading(url_of(evidence)) as connection:
        assert verify(connection).seq == EVENTS
        assert os.listdir(evidence.parent) == ["bot.db"], "nor is anything made beside it meanwhile"
    assert (evidence.read_bytes(), evidence.stat().st_mtime_ns) == before


def test_nothing_can_be_written_through_it(evidence: Path) -> None:
    with reading(url_of(evidence)) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.connection.driver_connection.execute("DELETE FROM event")  # type: ignore[union-attr]


def test_a_history_is_read_while_the_bot_writes_and_what_came_later_is_left_out(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "bot.db"
    with opened(path, clock) as store:
        write_history(store, clock)
        with reading(url_of(path)) as connection:
            store.write_now(lambda unit: unit.note("started", {}))
            assert verify(connection).seq == EVENTS
        with reading(url_of(path)) as connection:
            assert verify(connection).seq == EVENTS + 1


def test_a_file_that_is_replaced_in_the_middle_of_the_reading_counts_for_nothing(evidence: Path) -> None:
    def read_a_copy_that_changes() -> None:
        with reading(url_of(evidence)) as connection:
            verify(connection)
            os.utime(evidence, (1, 1))

    with pytest.raises(StorageError, match="changed in the middle"):
        read_a_copy_that_changes()


def test_the_same_bytes_that_are_no_text_any_more_are_noticed(tmp_path: Path) -> None:
    """A query for the text would not find the row."""
    clock, path = Clock(), tmp_path / "bot.db"
    with opened(path, clock) as store:
        write_history(store, clock)
    for column in ("request_id", "at", "kind", "body", "previous", "hash"):
        with sql(path) as client:
            client.execute(f"UPDATE event SET {column} = CAST({column} AS BLOB) WHERE seq = 77")  # noqa: S608
            with pytest.raises(ChainBroken), reading(url_of(path)) as connection:
                verify(connection)
            client.execute(f"UPDATE event SET {column} = CAST({column} AS TEXT) WHERE seq = 77")  # noqa: S608
    with reading(url_of(path)) as connection:
        assert verify(connection).seq == EVENTS
