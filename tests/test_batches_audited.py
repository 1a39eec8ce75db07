"""Orders on a list, for an auditor: exported, counted, compared with the channel, and put on paper."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from bot import cli
from sandbox.slack.model import Message
from tests.bot.test_evidence import Reader
from tests.conftest import World
from tests.past_the_bot import rows
from tests.test_batches import asked, new_orders
from tests.test_channel_audit import settled


@pytest.fixture
def storage() -> str:
    return "sqlite"


@pytest.fixture
def transport() -> str:
    return "socket"


Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """One command beside the running bot: exit code, output and complaints."""
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(world.folder)

    def command(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        return int(ended.value.code or 0)

    async def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(command, *arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@dataclass
class Past:
    """Two orders that were cancelled from one list, which its requester tried to approve as well."""

    world: World
    run: Run
    card: Message

    @property
    def list_id(self) -> str:
        return str((self.card.metadata or {})["event_payload"]["request_id"])

    @property
    def lines(self) -> list[str]:
        """The IDs of its orders, in the order in which they were asked for."""
        found = rows(
            self.world.database, "SELECT request_id FROM line WHERE batch = ? ORDER BY number", self.list_id
        )
        return [str(one) for (one,) in found]


@pytest.fixture
async def past(world: World, run: Run) -> Past:
    card = await asked(world, "\n".join(new_orders(world, 2)))
    await world.approve("alice", card)
    await world.said("alice", "somebody else has to approve it")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads_in_thread(card, "Outcome of 2 orders")
    done = await world.reads(card, "Outcome: 2 cancelled")
    await settled(world)
    return Past(world, run, done)


# --- in an export -----------------------------------------------------------------------------------

ABOUT_THE_LIST = ["batch_requested", "batch_attempt_refused", "batch_decided", "batch_decided"]


CHOICES: tuple[tuple[str, list[str]], ...] = (
    ("--provider digicert", ABOUT_THE_LIST),
    ("--provider payvalida", []),
    ("--state cancelled", ABOUT_THE_LIST),
    ("--state denied", []),
    ("--person {bob}", ABOUT_THE_LIST),
    ("--person {dan}", []),
    ("--provider digicert --person {alice}", ABOUT_THE_LIST),
    ("--state cancelled --until 2020-01-01", []),
)


async def test_with_an_order_comes_what_is_said_of_its_list(past: Past) -> None:
    ids = {name: past.world.person(name).id for name in ("alice", "bob", "dan")}
    for options, wanted in CHOICES:
        code, _, err = await past.run(
            "audit", "export", "--output", "some.jsonl", *options.format(**ids).split()
        )
        assert (code, err) == (0, "")
        lines = (past.world.folder / "some.jsonl").read_text("utf-8").splitlines()
        events = [json.loads(line) for line in lines]
        assert [one["kind"] for one in events if one["request_id"] == past.list_id] == wanted, options
        assert {one["request_id"] for one in events} >= (set(past.lines) if wanted else set()), options
        if events:
            assert (await past.run("audit", "verify", "--export", "some.jsonl"))[0] == 0


# --- in the month -----------------------------------------------------------------------------------


async def test_a_month_counts_each_order_of_a_list_and_names_a_refused_self_approval(past: Past) -> None:
    code, _, err = await past.run("audit", "report", "--output", "month.html")
    assert (code, err) == (0, "")
    shown = Reader((past.world.folder / "month.html").read_text("utf-8")).text
    assert "2 requests. 2 cancelled, 0 denied" in shown
    assert "refused self-approvals: 1." in shown
    alice, bob, carol = (past.world.person(name).id for name in ("alice", "bob", "carol"))
    first, second = sorted((bob, carol))
    assert f"approved by {first} {second} {alice} 2 2 Approvals that counted" in shown
    for milestone in ("first approval", "enough approvals", "outcome"):
        assert f"{milestone} 2 " in shown
    assert f"{alice} {past.list_id[:8]} a list of 2 orders" in shown
