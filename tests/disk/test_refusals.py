"""A database that is not right: the bot does not start on it, says why in one line, and touches nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

import pytest

from bot import cli
from bot.cli import run
from bot.events import Approved, OrderRead, Requested
from bot.store import Store, Unit, schema
from bot.store.chain import Head
from tests.bot.builders import ALICE, BOB, CHANNEL, NOW, TEAM, an_order
from tests.bot.stores import Clock, new_database, sql, url_of
from tests.disk.trace import ROOT

SETTINGS = {
    "SLACK_BOT_TOKEN": "xoxb-0000000000-made-up",
    "SLACK_APP_TOKEN": "xapp-0000000000-made-up",
    "APPROVAL_CHANNEL": "C0APPROVALS",
    "APPROVERS": "U0BOB,U0CAROL,U0DAVE",
    "DIGICERT_API_KEY": "made-up-key",
    "LOG_LEVEL": "ERROR",
}
BAD_DATABASE = 3
PAGE = 4096
DAMAGED = "is not a database of this bot, or it is damaged. Restore a backup; nothing was changed."


class Starts(Exception):
    """There is nothing to refuse: the bot would be built and started now."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """One that was in use, and was closed as it should be."""
    path = tmp_path / "data" / "bot.db"
    path.parent.mkdir()
    new_database(path)
    with closing(Store(url_of(path), Clock())) as store:
        for number in range(40):
            store.write_now(partial(one_request, f"{number:032x}"))
    assert sorted(each.name for each in path.parent.iterdir()) == ["bot.db"]
    return path


def one_request(identity: str, unit: Unit) -> None:
    expires = unit.now
    asked = Requested(TEAM, CHANNEL, "digicert", "acct", "#1", identity, ALICE, "twice", 2, ("S0",), expires)
    request = unit.begin(identity, asked, f"4711 {identity}")
    unit.schedule("check", identity, "digicert", NOW)
    unit.owe(identity, "card", request_id=identity, target=CHANNEL, body="x" * 1500)
    unit.set_card(identity, CHANNEL, "1.0")
    unit.save(request, [OrderRead(an_order()), Approved(BOB, "d", True, "on the list")])


@pytest.fixture
def start(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], str]:
    """Start the bot in this process, up to where it would begin its work; returns what it refused with."""

    def starts(*_: object, **__: object) -> None:
        raise Starts

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "Bot", starts)
    monkeypatch.setattr(run, "configure", lambda *_: None)
    monkeypatch.setattr(run, "log_crashes", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def start() -> str:
        for name, value in {**SETTINGS, "DATABASE_URL": url_of(database)}.items():
            monkeypatch.setenv(name, value)  # it takes some of them away
        with pytest.raises(SystemExit) as ended:
            cli.main(["run"])
        said = capsys.readouterr()
        assert (ended.value.code, said.out) == (BAD_DATABASE, "")
        assert len(said.err.splitlines()) == 1, said.err
        return said.err.strip()

    return start


def files(path: Path) -> dict[str, bytes]:
    """The database and what belongs to it, without the locks."""
    return {each.name: each.read_bytes() for each in path.parent.iterdir() if not each.name.endswith("lock")}


def test_a_database_that_was_closed_as_it_should_be_is_started_on(start: Callable[[], str]) -> None:
    with pytest.raises(Starts):
        start()


# --- damaged files ------------------------------------------------------------------------------------

CUTS = {
    "to two bytes": 2,
    "inside of the first word": 15,
    "after the first word": 16,
    "in the header": 60,
    "after the header": 100,
    "to a sector": 512,
    "in the first page": PAGE - 1,
    "after the first page": PAGE,
    "in the second page": PAGE + 1,
    "in the middle": -50 * PAGE - 17,
    "by a page": -PAGE,
    "by a byte": -1,
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_file_that_was_cut_is_refused_and_left_as_it_is(
    database: Path, start: Callable[[], str], cut: str
) -> None:
    os.truncate(database, CUTS[cut] if CUTS[cut] > 0 else database.stat().st_size + CUTS[cut])
    before = files(database)
    assert "damaged" in start()
    assert files(database) == before


def has_no_header(path: Path) -> None:
    _write(path, 0, bytes(100))


def is_noise(path: Path) -> None:
    path.write_bytes(Random(1).randbytes(10 * PAGE))  # noqa: S311


def is_all_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def is_a_text(path: Path) -> None:
    path.write_text("APPROVERS=S0ONCALL\n" * 500)


@pytest.mark.parametrize("harm", [has_no_header, is_noise, is_all_zeros, is_a_text])
def test_what_is_no_database_is_refused_and_left_as_it_is(
    database: Path, start: Callable[[], str], harm: Callable[[Path], None]
) -> None:
    harm(database)
    before = files(database)
    assert start() == f"{database} {DAMAGED}"
    assert files(database) == before


def test_a_damaged_page_is_found_before_anything_is_done_wherever_it_is(
    database: Path, start: Callable[[], str]
) -> None:
    whole = database.read_bytes()
    noise = Random(1).randbytes(PAGE)  # noqa: S311
    found: dict[int, str] = {}
    for page in range(1, len(whole) // PAGE):
        database.write_bytes(whole[: page * PAGE] + noise + whole[(page + 1) * PAGE :])
        before = database.read_bytes()
        found[page] = start()
        assert database.read_bytes() == before
    assert [page for page, said in found.items() if "damaged" not in said] == []
    assert len(found) > 50


def test_what_is_no_file_is_refused(database: Path, start: Callable[[], str]) -> None:
    database.unlink()
    (database / "inside").mkdir(parents=True)
    assert start() == f"The database cannot be used ({database}): Is a directory."


def _write(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


# --- databases of others ------------------------------------------------------------------------------


def test_a_database_of_another_program_is_refused(database: Path, start: Callable[[], str]) -> None:
    database.unlink()
    with sql(database) as theirs:
        theirs.execute("CREATE TABLE customers (name TEXT)")
    before = files(database)
    assert start() == f"{database} belongs to another program."
    assert files(database) == before


def test_a_newer_database_is_refused(database: Path, start: Callable[[], str]) -> None:
    with sql(database) as changed:
        changed.execute("UPDATE alembic_version SET version_num = '9999'")
    before = files(database)
    newer = "The database is newer than this version of the bot. Install the newer version again."
    assert start() == newer
    assert files(database) == before


def test_an_older_database_is_refused_until_it_is_upgraded(
    database: Path, start: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, newer, ignore=shutil.ignore_patterns("__pycache__"))
    present, _ = schema._revisions()
    (newer / "versions" / "next.py").write_text(
        f"revision = 'next'\ndown_revision = {present!r}\nbranch_labels = depends_on = None\n"
        "def upgrade() -> None: pass\n"
    )
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    before = files(database)
    assert start() == "The database is older than this version. Run: python -m bot db upgrade"
    assert files(database) == before
    schema.upgrade(url_of(database))
    with pytest.raises(Starts):
        start()


# --- no leave to write --------------------------------------------------------------------------------

ORDINARY = """
import ctypes, os, sys
if os.geteuid() == 0:  # root may do everything; what is run now may only do what root's own files allow
    drop, override, search = 24, 1, 2
    for capability in (override, search):
        assert ctypes.CDLL(None).prctl(drop, capability, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def as_ordinary_user(database: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": url_of(database)}
    return subprocess.run(
        [sys.executable, "-c", ORDINARY, "-m", "bot", *command],
        cwd=database.parent.parent,
        env=environment | SETTINGS,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="takes rights from root in the way of Linux")
@pytest.mark.parametrize("locked", ["bot.db", ".", ". after a start"])
def test_without_leave_to_write_it_does_not_start(database: Path, locked: str) -> None:
    if locked == ". after a start":
        locked = "."
        for ending in ("lock", "upgrade.lock"):
            Path(f"{database}.{ending}").touch()
    mode = (database.parent / locked).stat().st_mode
    before = files(database)
    (database.parent / locked).chmod(mode & ~0o222)
    try:
        done = as_ordinary_user(database, "run")
    finally:
        (database.parent / locked).chmod(mode)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (BAD_DATABASE, "", 1), done.stderr
    assert re.match(
        r"The database cannot be used \(.*\): Permission denied\.|.* cannot be opened now", done.stderr
    )
    assert files(database) == before


# --- what was removed while the bot was stopped -------------------------------------------------------


def test_without_the_log_of_an_unclean_end_the_database_is_an_older_one_that_holds_together(
    database: Path, tmp_path: Path, start: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It looks like a restored backup, and is recognised by what the channel shows: the number of events
    that `audit verify` prints is lower than that of the newest outcome."""
    left = tmp_path / "left" / "bot.db"
    left.parent.mkdir()
    with closing(Store(url_of(database), Clock())) as store:
        before = store.read_now(lambda unit: unit.head())
        store.write_now(lambda unit: unit.note("approved so much more", {}))
        after = store.read_now(lambda unit: unit.head())
        for end in ("", "-wal"):  # as a killed process leaves them
            shutil.copy(f"{database}{end}", f"{left}{end}")
    for removed, head in ((False, after), (True, before)):
        if removed:
            shutil.copy(left, database)
        else:
            for end in ("", "-wal"):
                shutil.copy(f"{left}{end}", f"{database}{end}")
        with pytest.raises(Starts):
            start()
        with closing(Store(url_of(database), Clock())) as store:
            assert store.read_now(lambda unit: unit.verify(Head())) == head
