"""`doctor`: it finds what is wrong, says what to do about it, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot import cli
from bot.store import schema
from tests.conftest import World
from tests.past_the_bot import change, rows

Doctor = Callable[[], tuple[int, list[str]]]
READING = {"auth.test", "bots.info", "apps.connections.open", "conversations.history", "users.info"}
READING |= {"usergroups.users.list"}


@pytest.fixture
def transport() -> str:
    return "socket"


async def looks(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **changes: str
) -> tuple[int, list[str]]:
    """Exit code and lines, none of which has a secret in it."""
    for name, value in world.environment(**changes).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(world.folder)

    def run() -> int:
        with pytest.raises(SystemExit) as ended:
            cli.main(["doctor"])
        return int(ended.value.code or 0)

    capsys.readouterr()
    code = await asyncio.to_thread(run)
    said = capsys.readouterr()
    secrets = [secret for secret in world.settings(**changes).secret_values() if secret in said.out]
    assert (secrets, said.err) == ([], "")
    return code, said.out.splitlines()


def failing(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("ok    ")]


async def test_where_everything_is_right_each_thing_has_a_line_and_nothing_is_changed(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.stop_bot()
    events = rows(world.database, "SELECT count(*) FROM event")
    called = len(world.workspace.calls)
    code, lines = await looks(world, monkeypatch, capsys)
    assert (code, failing(lines)) == (0, [])
    named = [line.removeprefix("ok    ").split(":")[0] for line in lines]
    assert named[:7] == [
        "database",
        "the bot's token",
        "the app-level token",
        "scopes",
        "channel C0APPROVALS",
        "approvers S0ONCALL",
        "quorum for cpanel",
    ]
    assert named[-6:] == ["clock", "cpanel", "digicert", "payvalida", "tradernet", "servertastic"]
    assert {call.method for call in world.workspace.calls[called:]} <= READING
    assert rows(world.database, "SELECT count(*) FROM event") == events
    assert [vendor.sends for vendor in world.town.vendors.values()] == [[], [], [], [], []]


async def test_a_database_that_is_not_there_yet_is_no_problem(
    quiet_world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = await looks(quiet_world, monkeypatch, capsys)
    assert code == 0
    assert lines[0] == "ok    database: is empty; the first start sets it up"
    assert schema.is_empty(quiet_world.database)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"SLACK_BOT_TOKEN": "xoxb-wrong-one"},
            "FAIL  the bot's token: Slack says invalid_auth. Copy the token again",
        ),
        (
            {"SLACK_APP_TOKEN": "xapp-wrong-one"},
            "FAIL  the app-level token: Slack says invalid_auth. Copy the token again",
        ),
        (
            {"APPROVAL_CHANNEL": "C0GENERAL"},
            "FAIL  channel C0GENERAL: Slack says not_in_channel. Invite the bot there",
        ),
        (
            {"APPROVAL_CHANNEL": "C0NOWHERE"},
            "FAIL  channel C0NOWHERE: Slack says channel_not_found. Check the ID in APPROVAL_CHANNEL",
        ),
        (
            {"APPROVERS": "S0ONCALL,U0ZED"},
            "FAIL  approvers U0ZED: nobody in it can approve: U0ZED (a deactivated account). Name others",
        ),
        (
            {"APPROVERS": "S0NOGROUP"},
            "FAIL  approvers S0NOGROUP: cannot be read. Check its ID, and the access to Slack",
        ),
        (
            {"APPROVERS": "U0BOB,U0CAROL,U0GINA"},
            "FAIL  quorum for digicert: 2 have to approve, and an approver who asks finds only 1. Name more",
        ),
        (
            {"DIGICERT_API_KEY": "0123456789-wrong"},
            "FAIL  digicert: DigiCert",
        ),
        (
            {"PAYVALIDA_BASE_URL": "http://127.0.0.1:1"},
            "FAIL  payvalida: Payvalida could not be asked",
        ),
    ],
)
async def test_what_is_wrong_is_said_with_what_to_do(
    quiet_world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    said: str,
) -> None:
    code, lines = await looks(quiet_world, monkeypatch, capsys, **changes)
    assert code == 1
    assert [line for line in failing(lines) if line.startswith(said)], lines


async def test_two_approvers_are_enough_where_others_ask(
    quiet_world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two = {"APPROVERS": "U0BOB,U0CAROL", "REQUESTERS": "U0ALICE,U0DAN"}
    code, lines = await looks(quiet_world, monkeypatch, capsys, **two)
    assert (code, failing(lines)) == (0, [])


async def test_a_scope_of_the_manifest_that_was_not_granted_is_named(
    quiet_world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = quiet_world.workspace
    granted = tuple(scope for scope in workspace.manifest.scopes if scope != "users:read.email")
    workspace.manifest = replace(workspace.manifest, scopes=granted)
    code, lines = await looks(quiet_world, monkeypatch, capsys)
    assert code == 1
    (line,) = failing(lines)
    assert line.startswith("FAIL  scopes: users:read.email missing. Update the app's manifest")


async def test_a_clock_that_is_wrong_is_told(
    quiet_world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet_world.workspace.clock_offset = timedelta(minutes=3).total_seconds()
    code, lines = await looks(quiet_world, monkeypatch, capsys)
    assert code == 1
    (line,) = failing(lines)
    assert "s behind Slack's. Set this machine's clock" in line


async def test_a_history_that_was_changed_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.stop_bot()
    assert change(world.database, "UPDATE event SET body = '{}' WHERE seq = 1") == 1
    code, lines = await looks(world, monkeypatch, capsys)
    assert code == 1
    assert "FAIL  database: the history does not verify: event 1" in lines[0]


async def test_when_slack_is_away_the_rest_is_looked_at_all_the_same(
    quiet_world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet_world.workspace.outage()
    code, lines = await looks(quiet_world, monkeypatch, capsys)
    assert code == 1
    assert [line.split(":")[0] for line in failing(lines)] == [
        "FAIL  the bot's token",
        "FAIL  the app-level token",
    ]
    assert len(lines) == 8
