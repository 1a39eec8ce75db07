"""`audit verify --channel`: what somebody did to the messages, or to the database, is named."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from bot import cli
from sandbox.slack.model import Message
from tests.bot.stores import on_commit
from tests.conftest import World
from tests.past_the_bot import change, copied


@pytest.fixture
def storage() -> str:
    return "sqlite"


@pytest.fixture
def transport() -> str:
    return "socket"


Verify = Callable[..., Awaitable[tuple[int, str, str]]]


@dataclass
class Past:
    """Two requests that have ended, one of them without a cancel."""

    world: World
    verify: Verify
    cancelled: Message
    denied: Message

    def reply(self, text: str, card: Message) -> Message:
        return next(reply for reply in self.world.card(card).thread if text in reply.text)

    async def names(self, complaint: str, card: Message) -> None:
        """It exits with 4 and says this about that request, and nothing else."""
        code, _, err = await self.verify()
        assert (code, err) == (4, f"request {request_of(card)}: {complaint}\n")


def request_of(card: Message) -> str:
    return str((card.metadata or {})["event_payload"]["request_id"])


@pytest.fixture
def verify(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verify:
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(world.folder)

    def run(*options: str) -> int:
        with pytest.raises(SystemExit) as ended:
            cli.main(["audit", "verify", "--channel", *options])
        return int(ended.value.code or 0)

    async def verify(*options: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(run, *options)
        said = capsys.readouterr()
        assert [secret for secret in world.settings().secret_values() if secret in said.out + said.err] == []
        return code, said.out, said.err

    return verify


@pytest.fixture
async def past(world: World, verify: Verify) -> Past:
    card = await world.asked("alice", "payvalida", world.vendor("payvalida").samples["cancellable"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    other = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    await world.person("bob").click(world.card(other), "Deny")
    form = await world.person("bob").modal()
    form.fill({"What is wrong with it?": "Too late to be useful"})
    assert (await form.submit()).ok
    cards = [await world.reads(card, "Outcome: cancelled"), await world.reads(other, "Outcome: denied")]
    for one in cards:
        await world.reads_in_thread(one, "Outcome:")
    await settled(world)
    return Past(world, verify, *cards)


async def settled(world: World) -> None:
    """Everything that is owed was delivered, and that is written down."""
    assert world.bot
    store, committed = world.bot._store, asyncio.Event()
    on_commit(store, committed.set)
    async with asyncio.timeout(10):
        while await store.read(lambda unit: unit.owed()):
            await committed.wait()
            committed.clear()


async def test_a_channel_that_nobody_touched_agrees_while_the_bot_runs(past: Past) -> None:
    code, out, err = await past.verify()
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == "The channel agrees with it: 2 outcomes were compared."
    code, out, _ = await past.verify("--since", "2100-01-01")
    assert (code, "0 outcomes were compared" in out) == (0, True)


async def test_an_edited_outcome_is_named(past: Past) -> None:
    reply = past.reply("Outcome:", past.cancelled)
    said = reply.text
    reply.text = said.replace("deleted", "paid")
    assert reply.text != said
    await past.names("the reply with its outcome was edited", past.cancelled)
    reply.text = said
    card = past.world.card(past.denied)
    said, card.text = card.text, card.text + " Never mind."
    await past.names("its card was edited", past.denied)
    card.text = said
    section = card.blocks[0]["text"]
    section["text"], said = section["text"].replace("denied", "cancelled"), section["text"]
    await past.names("its card was edited", past.denied)
    section["text"] = said
    assert (await past.verify())[0] == 0


async def test_an_outcome_in_other_words_than_the_history_has_is_named(past: Past) -> None:
    reply = past.reply("Outcome:", past.denied)
    assert reply.metadata
    reply.metadata["event_payload"]["state"] = "cancelled"
    await past.names("the reply with its outcome says 'cancelled', and the history 'denied'", past.denied)
    del reply.metadata["event_payload"]["audit_head"]
    await past.names("the reply with its outcome does not carry the outcome", past.denied)


async def test_an_outcome_that_was_deleted_is_named(past: Past) -> None:
    past.world.workspace.delete_message(past.reply("Outcome:", past.denied))
    await past.names("the reply with its outcome is not in the thread", past.denied)
    past.world.workspace.delete_message(past.world.card(past.cancelled))
    code, _, err = await past.verify()
    assert (code, f"request {request_of(past.cancelled)}: its card is not in the channel" in err) == (4, True)


async def test_the_head_of_another_history_is_named(past: Past) -> None:
    card = past.world.card(past.cancelled)
    assert card.metadata
    seq, _, _ = card.metadata["event_payload"]["audit_head"].partition(":")
    card.metadata["event_payload"]["audit_head"] = f"{seq}:{'f' * 64}"
    code, _, err = await past.verify()
    assert code == 4
    assert f"its card was posted at event {seq} of another history" in err


async def test_a_database_that_lacks_an_outcome_is_named_by_it(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    await past.world.stop_bot()
    with copied(past.world.database, past.world.folder / "copy") as copy:
        monkeypatch.setenv("DATABASE_URL", copy)
        (request,) = (request_of(past.denied),)
        change(
            copy, "DELETE FROM event WHERE seq >= (SELECT min(seq) FROM event WHERE request_id = ?)", request
        )
        code, _, err = await past.verify()
    assert code == 4
    assert f"request {request}: 'denied' was posted at event " in err


async def test_a_channel_that_cannot_be_read_is_no_agreement(past: Past) -> None:
    past.world.workspace.fail_next("conversations.history", error="missing_scope")
    code, out, err = await past.verify()
    assert (code, out) == (1, "")
    assert err == "The channel cannot be read (missing_scope). Nothing was compared.\n"


async def test_slacks_rate_limit_is_waited_out(past: Past) -> None:
    past.world.workspace.fail_next("conversations.replies", status=429, retry_after=1)
    assert (await past.verify())[0] == 0
