"""`simulate`: who could approve, without asking anybody."""

from __future__ import annotations

import asyncio

import pytest

from bot import cli
from tests.conftest import World
from tests.past_the_bot import rows


async def answer(world: World, who: str, text: str, contains: str) -> str:
    await world.person(who).command("/cancel-order", text)
    said = await world.said(who, contains)
    return said.readable


async def test_somebody_learns_privately_who_could_approve_by_which_rule_and_until_when(
    quiet_world: World,
) -> None:
    world = quiet_world
    await world.start_bot(APPROVERS="S0ONCALL,U0GINA", ESCALATE_AFTER="2h", ESCALATE_TO="U0DAN")
    events = rows(world.database, "SELECT count(*) FROM event")
    told = await answer(world, "bob", "simulate digicert", "if it were made now")
    assert "A request of @Bob to cancel at DigiCert" in told
    assert "Needed: 2 approvals until " in told
    assert "May approve: @Carol (member of the user group S0ONCALL), @Dan" in told
    assert "May not: @Gina (a guest)." in told
    assert "Called as well from " in told
    assert told.endswith("It could be approved.")
    assert rows(world.database, "SELECT count(*) FROM event") == events
    assert world.cards == []


async def test_somebody_learns_that_too_few_could_and_who_it_is(quiet_world: World) -> None:
    world = quiet_world
    await world.start_bot(APPROVERS="U0BOB,U0CAROL,U0GINA", REQUESTERS="U0ALICE,U0BOB,U0GINA")
    told = await answer(world, "bob", "simulate digicert", "if it were made now")
    assert told.endswith("It could not be approved: 2 are needed, and 1 could.")
    told = await answer(world, "dan", "simulate digicert", "would be refused")
    assert "Asking: no, not on the list of requesters." in told


async def test_a_pause_is_told(world: World) -> None:
    await world.person("bob").command("/cancel-order", "pause digicert late")
    await world.said("bob", "is paused")
    assert "is paused: late." in await answer(world, "alice", "simulate digicert", "if it were made now")


@pytest.mark.parametrize("words", ["simulate", "simulate nonsense"])
async def test_an_unknown_provider_is_answered_with_those_there_are(world: World, words: str) -> None:
    assert "Enabled:" in await answer(world, "bob", words, "There is no provider")


async def simulated(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
    **changes: str,
) -> tuple[int, str]:
    for name, value in world.environment(**changes).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(world.folder)

    def run() -> int:
        with pytest.raises(SystemExit) as ended:
            cli.main(["simulate", *arguments])
        return int(ended.value.code or 0)

    capsys.readouterr()
    code = await asyncio.to_thread(run)
    said = capsys.readouterr()
    return code, said.out + said.err


async def test_an_operator_asks_for_somebody_else(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for_alice = ("--requester", "U0ALICE", "--provider", "cpanel")
    called = len(world.workspace.calls)
    code, told = await simulated(world, monkeypatch, capsys, *for_alice)
    assert code == 0
    assert "May approve: U0BOB (member of the user group S0ONCALL), U0CAROL" in told
    only_one = {"APPROVERS": "U0BOB,U0ZED,U0GINA"}
    code, told = await simulated(world, monkeypatch, capsys, *for_alice, **only_one)
    assert code == 1
    assert "May not: U0GINA (a guest), U0ZED (a deactivated account)." in told
    assert [call.method for call in world.workspace.calls[called:] if "post" in call.method] == []


@pytest.mark.parametrize(
    ("arguments", "code", "advice"),
    [
        (("--requester", "alice", "--provider", "cpanel"), 2, "must be a Slack user ID"),
        (("--requester", "UNOBODY", "--provider", "cpanel"), 1, "There is no UNOBODY in this workspace."),
        (("--requester", "U0ALICE", "--provider", "nonsense"), 1, "There is no provider 'nonsense'"),
        (("--requester", "U0ALICE", "--provider", "cpanel", "--account", "eu"), 1, "Which account of cpanel"),
    ],
)
async def test_an_operator_is_told_what_is_wrong_with_the_question(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    advice: str,
) -> None:
    ended, told = await simulated(world, monkeypatch, capsys, *arguments)
    assert (ended, advice in told) == (code, True), told
