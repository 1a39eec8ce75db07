"""The command line: what it prints, what it exits with, and that it never prints a secret."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy.engine import make_url

from bot import __version__, cli
from bot.store import schema
from bot.store.database import is_sqlite
from bot.store.sqlite import path_of
from tests import postgres
from tests.conftest import World
from tests.past_the_bot import change, copied, rows

ROOT = Path(__file__).parents[2]
CANARY = "c4n4ry"


on_either = pytest.mark.parametrize("storage", ["sqlite", "postgres"])
on_postgres = pytest.mark.parametrize("storage", ["postgres"])


@pytest.fixture
def transport() -> str:
    return "socket"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, without a `.env`, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name not in _KEPT:
            monkeypatch.delenv(name)
    return tmp_path


_KEPT = {"PATH", "HOME", "TMPDIR", "LANG", "PYTEST_CURRENT_TEST"}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and complaints of one command in this process."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err
    assert "Traceback" not in said.err
    return int(ended.value.code or 0), said.out, said.err


class Process:
    """`python -m bot …` as somebody would start it; its stderr is read while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.err = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    async def says(self, text: str, seconds: float = 20) -> None:
        """Wait until it has written so."""
        assert self._process.stderr
        async with asyncio.timeout(seconds):
            while text not in self.err:
                line = await self._process.stderr.readline()
                assert line, f"it ended without {text!r}: {self.err}"
                self.err += line.decode()

    async def ends(self, seconds: float = 30) -> int:
        assert self._process.stderr
        async with asyncio.timeout(seconds):
            self.err += (await self._process.stderr.read()).decode()
            return await self._process.wait()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)


@asynccontextmanager
async def started(environment: dict[str, str], folder: Path, *arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def free_port() -> str:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def secrets(world: World) -> list[str]:
    return [*world.settings().secret_values()]


# --- settings ---------------------------------------------------------------------------------------


async def test_everything_wrong_with_the_settings_is_said_at_once_and_nothing_secret(tmp_path: Path) -> None:
    wrong = {
        "SLACK_BOT_TOKEN": f"{CANARY}-bot",
        "SLACK_SIGNING_SECRET": f"{CANARY},{CANARY},{CANARY}",
        "APPROVALS_REQUIRED": "1",
        "APPROVERS": "U1",
        "APPROVAL_CHANNEL": "#orders",
        "DIGICERT_API_KEY": CANARY,
        "APROVERS": "U1",
    }
    async with started(wrong, tmp_path, "run") as process:
        assert await process.ends() == 2
    names = ("SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "APPROVALS_REQUIRED", "APPROVAL_CHANNEL", "APROVERS")
    lines = process.err.splitlines()
    assert [name for name in names if not any(line.startswith(name) for line in lines)] == []
    assert CANARY not in process.err
    assert "Traceback" not in process.err


@pytest.mark.parametrize(
    ("transport_wanted", "missing"), [("socket", "SLACK_APP_TOKEN"), ("http", "SLACK_SIGNING_SECRET")]
)
async def test_a_transport_without_what_it_takes_is_a_problem_of_the_settings(
    quiet_world: World, tmp_path: Path, transport_wanted: str, missing: str
) -> None:
    environment = quiet_world.environment(PORT=free_port())
    del environment[missing]
    async with started(environment, tmp_path, "run", "--transport", transport_wanted) as process:
        assert await process.ends() == 2
    assert missing in process.err


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["run", "--role", "boss"], ["requests", "list", "--limit", "0"]]
)
def test_what_it_does_not_understand_it_says(
    capsys: pytest.CaptureFixture[str], here: Path, arguments: list[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "usage: python -m bot" in err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"{__version__}\n", "")


# --- without a bot ----------------------------------------------------------------------------------


def test_the_providers_are_listed_without_any_setting(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    code, out, err = run(capsys, "providers")
    assert (code, err) == (0, "")
    assert out.count(": not enabled") == 5
    for line in ("cPanel (cpanel)", "DIGICERT_API_KEY", "Order token", "cannot be re-instated"):
        assert line in out


def test_a_provider_with_its_settings_is_shown_as_enabled(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGICERT_API_KEY", CANARY)
    _, out, _ = run(capsys, "providers")
    assert "DigiCert (digicert): enabled" in out
    assert out.count(": not enabled") == 4


# --- the database -----------------------------------------------------------------------------------

COMMANDS = [("requests", "list"), ("requests", "show", "abcd"), ("audit", "verify"), ("audit", "export")]


@pytest.fixture
def empty(here: Path, storage: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The setting of a file that is not there yet, or of a database without a table."""
    if storage == "sqlite":
        monkeypatch.setenv("DATABASE_URL", f"sqlite:///{here / 'data' / 'bot.db'}")
        yield os.environ["DATABASE_URL"]
        return
    with postgres.new_database(empty=True) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        yield url


def tables(url: str) -> list[tuple[Any, ...]]:
    if not is_sqlite(url):
        return rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return rows(url, "SELECT name FROM sqlite_master ORDER BY 1") if path_of(url).exists() else []


@on_either
def test_a_new_database_is_made_and_upgrading_it_again_changes_nothing(
    capsys: pytest.CaptureFixture[str], empty: str
) -> None:
    for _ in range(2):
        assert run(capsys, "db", "upgrade") == (0, "The database is at the newest schema.\n", "")
    assert not is_sqlite(empty) or path_of(empty).stat().st_mode & 0o777 == 0o600
    assert run(capsys, "requests", "list") == (0, "", "")
    assert run(capsys, "requests", "list", "--json") == (0, "[]\n", "")
    code, out, _ = run(capsys, "audit", "verify")
    assert (code, out.split(",")[0]) == (0, "The history verifies: 0 events")


@on_either
@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_database_it_says_how_to_get_one_and_makes_none(
    capsys: pytest.CaptureFixture[str], empty: str, command: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, *command)
    assert (code, out) == (3, "")
    assert "python -m bot db upgrade" in err
    assert tables(empty) == []


def another_program(url: str) -> None:
    change(url, "CREATE TABLE customers (name TEXT)")


def a_newer_version(url: str) -> None:
    schema.upgrade(url)
    change(url, "UPDATE alembic_version SET version_num = '9999'")


@on_either
@pytest.mark.parametrize("make", [another_program, a_newer_version])
@pytest.mark.parametrize("command", [*COMMANDS, ("db", "upgrade")])
def test_what_belongs_to_another_program_or_version_is_left_as_it_is(
    capsys: pytest.CaptureFixture[str], empty: str, command: tuple[str, ...], make: Callable[[str], None]
) -> None:
    if is_sqlite(empty):
        path_of(empty).parent.mkdir()
    make(empty)
    before = tables(empty)
    code, out, err = run(capsys, *command)
    assert (code, out, len(err.splitlines())) == (3, "", 1)
    assert "belongs to another program" in err or "newer than this version of the bot" in err
    assert tables(empty) == before


def no_database(path: Path) -> None:
    path.write_text("My holiday in Portugal. " * 1000)


def a_folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)


@pytest.mark.parametrize("make", [no_database, a_folder])
@pytest.mark.parametrize("command", [*COMMANDS, ("db", "upgrade")])
def test_what_is_no_database_is_left_as_it_is(
    capsys: pytest.CaptureFixture[str], empty: str, command: tuple[str, ...], make: Callable[[Path], None]
) -> None:
    path = path_of(empty)
    path.parent.mkdir()
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    code, out, err = run(capsys, *command)
    assert (code, out, len(err.splitlines())) == (3, "", 1)
    assert (path.read_bytes() if path.is_file() else b"") == before


PASSWORD = f"{CANARY} p@ss/w%rd?"


def with_a_wrong_password(url: str) -> str:
    return str(make_url(url).set(password=f"{PASSWORD} not").render_as_string(hide_password=False))


def with_a_wrong_name(url: str) -> str:
    return str(make_url(url).set(database="nowhere").render_as_string(hide_password=False))


def on_a_port_where_nobody_is(url: str) -> str:
    elsewhere = make_url(url).set(host="127.0.0.1", port=int(free_port()), query={})
    return str(elsewhere.render_as_string(hide_password=False))


def on_a_socket_that_is_not_there(url: str) -> str:
    return str(make_url(url).set(query={"host": "/nowhere"}).render_as_string(hide_password=False))


def with_an_option_that_is_none(url: str) -> str:
    return str(make_url(url).update_query_dict({"colour": "red"}).render_as_string(hide_password=False))


UNUSABLE = [
    with_a_wrong_password,
    with_a_wrong_name,
    on_a_port_where_nobody_is,
    on_a_socket_that_is_not_there,
    with_an_option_that_is_none,
]


@on_postgres
@pytest.mark.parametrize("spoil", UNUSABLE)
def test_a_server_that_cannot_be_used_is_one_sentence_without_the_password(
    capsys: pytest.CaptureFixture[str],
    empty: str,
    spoil: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with postgres.somebody(empty, password=PASSWORD) as url:
        monkeypatch.setenv("DATABASE_URL", spoil(url))
        for command in (*COMMANDS, ("db", "upgrade")):
            code, out, err = run(capsys, *command)
            assert (code, out, len(err.splitlines())) == (3, "", 1), err
            assert re.match(r"The database cannot be (used: .*\.|opened now \(.*\)\.)$", err), err
    assert tables(empty) == []


@on_postgres
def test_a_database_with_a_password_is_used_and_the_password_is_not_shown(
    capsys: pytest.CaptureFixture[str], empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.somebody(empty, password=PASSWORD) as url:
        monkeypatch.setenv("DATABASE_URL", url.replace("postgresql://", "postgres://"))
        assert run(capsys, "db", "upgrade")[0] == 0
        assert run(capsys, "audit", "verify")[0] == 0
        change(empty, "DROP TABLE event")
        code, out, err = run(capsys, "audit", "verify")
        assert (code, out) == (3, "")
        assert err == 'The database could not be used: relation "event" does not exist.\n'


def test_a_folder_that_cannot_be_made_is_a_sentence(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "file").write_text("in the way")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{here}/file/bot.db")
    code, _, err = run(capsys, "db", "upgrade")
    assert (code, len(err.splitlines())) == (3, 1)


def test_of_two_processes_that_find_no_file_one_makes_it(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A web and a worker process are usually started together."""
    upgrades: list[str] = []
    upgrading, second_looked, go_on = threading.Event(), threading.Event(), threading.Event()
    upgrade, is_empty = schema.upgrade, schema.is_empty

    def slowly(url: str) -> None:
        upgrades.append(url)
        upgrading.set()
        go_on.wait(10)
        upgrade(url)

    def watched(url: str, *connect: Any) -> bool:
        if threading.current_thread() is both[1]:
            second_looked.set()
        return is_empty(url, *connect)

    monkeypatch.setattr(schema, "upgrade", slowly)
    monkeypatch.setattr(schema, "is_empty", watched)
    both = [threading.Thread(target=cli.run.make_ready, args=(empty,)) for _ in range(2)]
    both[0].start()
    assert upgrading.wait(10)
    both[1].start()
    too_early = second_looked.wait(0.2)
    go_on.set()
    for each in both:
        each.join(20)
    assert (too_early, second_looked.is_set(), len(upgrades)) == (False, True, 1)


@on_either
async def test_the_bot_does_not_start_on_a_foreign_database(
    quiet_world: World, storage: str, tmp_path: Path
) -> None:
    if storage == "postgres":
        for (table,) in tables(quiet_world.database):
            change(quiet_world.database, f"DROP TABLE {table}")
    another_program(quiet_world.database)
    async with started(quiet_world.environment(PORT=free_port()), tmp_path, "run") as process:
        assert await process.ends() == 3
    assert "another program" in process.err
    assert "Traceback" not in process.err


@on_postgres
async def test_the_bot_does_not_start_without_its_server(quiet_world: World, tmp_path: Path) -> None:
    with postgres.somebody(quiet_world.database, password=PASSWORD) as url:
        for wrong in (with_a_wrong_password(url), on_a_port_where_nobody_is(url)):
            environment = quiet_world.environment(PORT=free_port(), DATABASE_URL=wrong)
            async with started(environment, tmp_path, "run") as process:
                assert await process.ends() == 3
            assert re.fullmatch(r"The database cannot be opened now \(.*\)\.\n", process.err)
            assert CANARY not in process.err


# --- what is in it ----------------------------------------------------------------------------------


@pytest.fixture
async def told(world: World, here: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A cancelled order, a denied one and a pending one, and a bot that is still running."""
    monkeypatch.setenv("DATABASE_URL", world.database)
    cpanel, digicert = world.vendor("cpanel"), world.vendor("digicert")
    card = await world.asked("alice", "cpanel", cpanel.samples["cancellable"], "ordered twice\x1b[31m")
    await world.approve("alice", card)
    await world.approve("bob", card)
    await world.approve("carol", card)
    await world.reads(card, "Outcome: cancelled")
    await world.asked("bob", "digicert", digicert.samples["cancellable"], "wrong name")
    return world


def ids(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    found = json.loads(run(capsys, "requests", "list", "--json", *arguments)[1])
    return [request["id"] for request in found]


@on_either
async def test_the_requests_are_listed_newest_first(told: World, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "requests", "list")
    assert (code, err) == (0, "")
    newest, oldest = out.splitlines()
    assert re.search(r"^[0-9a-f]{8}  .*digicert .*U0BOB .*0/2  waiting for approval$", newest)
    assert re.search(r"^[0-9a-f]{8}  .*cpanel .*U0ALICE .*2/2  cancelled$", oldest)
    every = ids(capsys)
    assert ids(capsys, "--state", "pending") == every[:1]
    assert ids(capsys, "--state", "cancelled") == every[1:]
    assert ids(capsys, "--state", "denied") == []
    assert ids(capsys, "--limit", "1") == every[:1]


@on_either
async def test_one_request_is_shown_with_its_history(told: World, capsys: pytest.CaptureFixture[str]) -> None:
    request = ids(capsys, "--state", "cancelled")[0]
    for name in (request, request[:8], request[:8].upper(), f"#{request[:8]}"):
        code, out, err = run(capsys, "requests", "show", name)
        assert (code, err) == (0, "")
    facts, history = (part.splitlines() for part in out.split("\n\n"))
    for line in (
        f"Request    {request}",
        "Outcome    cancelled",
        "Requester  U0ALICE",
        "Approvals  2 of 2: U0BOB, U0CAROL",
        "Attempts   1",
    ):
        assert line in facts
    assert re.search(r"^Digest     [0-9a-f]{64}$", out, re.MULTILINE)
    assert "\x1b" not in out
    told_of = [re.sub(r"^[-0-9]{10} [:0-9]{8}  ", "", line) for line in history]
    expected = ("requested", "order read", "attempt refused", "approved", "approved", "quorum reached")
    assert [line[:17].rstrip() for line in told_of if "verified" not in line][:6] == list(expected)
    assert any("U0ALICE tried to approve" in line for line in told_of)
    assert any("permitted" in line and "attempt 1" in line for line in told_of)
    assert any("answered" in line and "cancelled" in line for line in told_of)


@on_either
async def test_one_request_is_shown_as_json(told: World, capsys: pytest.CaptureFixture[str]) -> None:
    request = ids(capsys, "--state", "cancelled")[0]
    found: dict[str, Any] = json.loads(run(capsys, "requests", "show", request[:8], "--json")[1])
    assert (found["id"], found["state"], found["word"]) == (request, "cancelled", "cancelled")
    assert [approval["by"]["user"] for approval in found["approvals"]] == ["U0BOB", "U0CAROL"]
    assert {approval["digest"] for approval in found["approvals"]} == {found["digest"]}
    assert found["attempts"] == 1
    assert found["outcome"]["result"] == "cancelled"
    kinds = [event["kind"] for event in found["events"]]
    assert kinds[0] == "requested"
    assert kinds.count("permitted") == 1
    assert all(re.match(r"\d{4}-\d\d-\d\dT", event["at"]) for event in found["events"])


@on_either
async def test_an_id_that_is_none_or_not_enough_is_a_failed_check(
    told: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("0" * 32, "zzzz", "", "#", "%", "_" * 8):
        code, out, err = run(capsys, "requests", "show", name)
        assert (code, out, err) == (1, "", "There is no request with that ID.\n"), name


@on_either
async def test_an_id_that_two_requests_begin_with_is_not_enough(
    told: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await told.stop_bot()
    capsys.readouterr()
    change(told.database, "UPDATE request SET id = 'abcd' || substr(id, 5)")
    code, out, err = run(capsys, "requests", "show", "abcd")
    assert (code, out, err) == (1, "", "Several requests begin with that ID.\n")


@on_either
async def test_no_command_prints_a_secret(told: World, capsys: pytest.CaptureFixture[str]) -> None:
    request = ids(capsys)[0]
    environment = told.environment()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        for command in (
            ("requests", "list"),
            ("requests", "list", "--json"),
            ("requests", "show", request),
            ("requests", "show", request, "--json"),
            ("audit", "verify"),
            ("audit", "export"),
            ("providers",),
            ("manifest", "--json"),
            ("--help",),
        ):
            code, out, err = run(capsys, *command)
            assert code == 0, command
            assert [secret for secret in secrets(told) if secret in out + err] == [], command


# --- the chain --------------------------------------------------------------------------------------

TAMPERING = {
    "a body": ("UPDATE event SET body = replace(body, 'twice', 'thrice') WHERE seq = 2", 2),
    "a time": ("UPDATE event SET at = '2001-01-01 00:00:00.000000' WHERE seq = 3", 3),
    "a time that is none": ("UPDATE event SET at = 'infinity' WHERE seq = 3", 3),
    "a missing row": ("DELETE FROM event WHERE seq = 4", 4),
    "a hash": ("UPDATE event SET hash = previous WHERE seq = 5", 5),
    "a kind": ("UPDATE event SET kind = 'denied' WHERE seq = 2", 2),
    "an owner": ("UPDATE event SET request_id = NULL WHERE seq = 2", 2),
    "the number": ("UPDATE event SET seq = seq + 1000 WHERE seq = 2", 2),
}


async def test_a_whole_history_verifies(told: World, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "audit", "verify")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"The history verifies: \d+ events, head [0-9a-f]{64}\.\n", out)


@on_either
async def test_the_first_bad_row_is_named(
    told: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await told.stop_bot()
    capsys.readouterr()
    for name, (tampering, seq) in TAMPERING.items():
        with copied(told.database, tmp_path / "copy") as copy:
            monkeypatch.setenv("DATABASE_URL", copy)
            assert run(capsys, "audit", "verify")[0] == 0
            assert change(copy, tampering) == 1
            code, out, err = run(capsys, "audit", "verify")
        assert (code, out, len(err.splitlines())) == (4, "", 1), (name, err)
        assert f"event {seq} " in err, (name, err)


# --- a pipe -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["requests list --json", "providers", "--version"])
async def test_a_reader_that_has_had_enough_ends_it_quietly(world: World, command: str) -> None:
    """As in `python -m bot requests list | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *command.split()),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | world.environment(),
        cwd=world.folder,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    _, err = await asyncio.wait_for(done.communicate(), 20)
    assert (done.returncode, err) == (0, b"")


# --- running ----------------------------------------------------------------------------------------


async def test_the_bot_runs_until_it_is_told_to_stop_and_a_second_one_does_not_start_on_its_file(
    quiet_world: World, tmp_path: Path
) -> None:
    environment = quiet_world.environment(PORT=free_port())
    async with started(environment, tmp_path, "run") as first:
        await first.says("ready")
        async with started(environment | {"PORT": free_port()}, tmp_path, "run") as second:
            assert await second.ends() == 3
        assert "Another bot is running on this database" in second.err
        first.signal(signal.SIGINT)
        assert await first.ends() == 0
    for err in (first.err, second.err):
        assert "Traceback" not in err
        assert [secret for secret in secrets(quiet_world) if secret in err] == []


async def test_a_port_that_is_taken_is_a_sentence(quiet_world: World, tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        async with started(quiet_world.environment(PORT=port), tmp_path, "run") as process:
            assert await process.ends() == 1
    assert f"The bot cannot listen on 127.0.0.1:{port}: Address already in use." in process.err.splitlines()
    assert "Traceback" not in process.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_while_it_is_still_waiting_for_slack(
    quiet_world: World, tmp_path: Path, number: int
) -> None:
    quiet_world.workspace.outage()
    async with started(quiet_world.environment(PORT=free_port()), tmp_path, "run") as process:
        await process.says("slack_not_reachable")
        process.signal(number)
        assert await process.ends() == 0
    assert "Traceback" not in process.err
    assert "Unclosed" not in process.err


@pytest.mark.parametrize(
    ("method", "setting"), [("auth.test", "SLACK_BOT_TOKEN"), ("apps.connections.open", "SLACK_APP_TOKEN")]
)
async def test_a_token_that_slack_refuses_ends_it_at_once(
    quiet_world: World, tmp_path: Path, method: str, setting: str
) -> None:
    quiet_world.workspace.fail_next(method, "invalid_auth", times=100)
    async with started(quiet_world.environment(PORT=free_port()), tmp_path, "run") as process:
        assert await process.ends() == 1
    assert f"Slack refuses {setting} (invalid_auth)." in process.err.splitlines()
    assert "Traceback" not in process.err
    assert [secret for secret in secrets(quiet_world) if secret in process.err] == []


async def test_a_file_on_a_host_that_empties_its_disk_is_a_problem_of_the_settings(
    quiet_world: World, tmp_path: Path
) -> None:
    environment = quiet_world.environment(PORT=free_port(), DYNO="web.1")
    async with started(environment, tmp_path, "run") as process:
        assert await process.ends() == 2
    assert "Heroku empties its disk at each start" in process.err


async def test_what_does_not_matter_is_a_warning_and_a_crash_is_one_line_of_the_log(
    quiet_world: World, tmp_path: Path
) -> None:
    """The crash is made by a Python file that stands in for a part of the bot."""
    (tmp_path / "sitecustomize.py").write_text(
        "import bot.cli\n"
        "def crash(url): raise RuntimeError('a bug with xoxb-0000000000-sandbox-bot in it')\n"
        "bot.cli.run.make_ready = crash\n"
    )
    environment = quiet_world.environment(PORT=free_port(), PAGERDUTY_SCHEDULES="P1", LOG_FORMAT="json")
    environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    async with started(environment, tmp_path, "run") as process:
        assert await process.ends() == 1
    warned, crashed = (json.loads(line) for line in process.err.splitlines())
    assert "has no effect" in warned["advice"]
    assert crashed["event"] == "uncaught exception"
    assert "RuntimeError: a bug with *** in it" in crashed["exception"]


@on_either
async def test_a_web_and_a_worker_process_on_one_database_cancel_an_order_together(
    quiet_world: World, tmp_path: Path
) -> None:
    world, vendor = quiet_world, quiet_world.vendor("cpanel")
    web_port, worker_port = free_port(), free_port()
    async with (
        started(world.environment(PORT=web_port), tmp_path, "run", "--role", "web") as web,
        started(world.environment(PORT=worker_port), tmp_path, "run", "--role", "worker") as worker,
    ):
        await asyncio.gather(web.says("ready"), worker.says("ready"))
        for port in (web_port, worker_port):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{port}/readyz") as response,
            ):
                assert (response.status, await response.json()) == (200, {"ready": True, "problems": []})
        reference = vendor.samples["cancellable"]
        card = await world.asked("alice", "cpanel", reference)
        await world.approve("bob", card)
        await world.approve("carol", card)
        await world.reads(card, "Outcome: cancelled")
        assert (len(vendor.sends), vendor.is_cancelled(reference)) == (1, True)
        for process in (web, worker):
            process.signal(signal.SIGTERM)
        assert (await web.ends(), await worker.ends()) == (0, 0)
    assert "Traceback" not in web.err + worker.err


@on_postgres
async def test_of_two_bots_on_one_database_either_may_die_and_the_other_goes_on(
    quiet_world: World, tmp_path: Path
) -> None:
    world, vendor = quiet_world, quiet_world.vendor("cpanel")
    reference = vendor.samples["cancellable"]
    first_port, second_port = free_port(), free_port()
    async with (
        started(world.environment(PORT=first_port), tmp_path, "run") as first,
        started(world.environment(PORT=second_port), tmp_path, "run") as second,
    ):
        await asyncio.gather(first.says("ready"), second.says("ready"))
        card = await world.asked("alice", "cpanel", reference)
        await world.approve("bob", card)
        first.signal(signal.SIGKILL)
        await first.ends()
        async with started(world.environment(PORT=first_port), tmp_path, "run") as third:
            await third.says("ready")
            second.signal(signal.SIGKILL)
            await second.ends()
            await world.approve("carol", card)
            await world.reads(card, "Outcome: cancelled", timeout=30)
            assert (len(vendor.sends), vendor.is_cancelled(reference)) == (1, True)
            third.signal(signal.SIGTERM)
            assert await third.ends() == 0
    assert "Traceback" not in first.err + second.err + third.err


async def test_damage_that_is_found_when_the_bot_runs_already_ends_it_with_the_same_advice(
    quiet_world: World, tmp_path: Path
) -> None:
    """A large file takes too long to be looked through before. Here no file is small enough."""
    (tmp_path / "sitecustomize.py").write_text("import bot.cli.run\nbot.cli.run.SMALL = 0\n")
    schema.upgrade(quiet_world.database)
    path = path_of(quiet_world.database)
    with closing(sqlite3.connect(path)) as database:
        index = "SELECT rootpage FROM sqlite_master WHERE name = 'ix_line_batch'"
        ((page,), (size,)) = (database.execute(query).fetchone() for query in (index, "PRAGMA page_size"))
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    environment = quiet_world.environment(PORT=free_port()) | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    async with started(environment, tmp_path, "run") as process:
        assert await process.ends() == 3
    assert "is damaged" in process.err.splitlines()[-1]
    assert process.err.endswith("The bot has stopped. Restore a backup.\n")
