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
from tests.test_batches import asked, denied, new_orders
from tests.test_channel_audit import settled
from tests.test_closing import CANCELLED, found


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


# --- against the channel ----------------------------------------------------------------------------


def reply_with_the_outcome(past: Past) -> Message:
    thread = past.world.card(past.card).thread
    return next(reply for reply in thread if reply.text.startswith("Outcome of "))


async def complaint(past: Past) -> str:
    """What the comparison says about the list, and it says nothing else."""
    code, _, err = await past.run("audit", "verify", "--channel")
    before, about, said = err.partition(f"request {past.list_id}: ")
    assert (code, before, about != "") == (4, "", True), err
    return said.rstrip("\n")


async def test_a_channel_with_lists_that_nobody_touched_agrees(past: Past) -> None:
    """One that is not done yet has no outcome to compare, even where one of its orders has."""
    alone = await past.world.asked(
        "alice", "payvalida", past.world.vendor("payvalida").samples["cancellable"]
    )
    await past.world.person("alice").click(past.world.card(alone), "Withdraw")
    await past.world.reads_in_thread(await past.world.reads(alone, "Outcome: withdrawn"), "withdr")
    samples = past.world.vendor("digicert").samples
    await asked(past.world, "\n".join(samples[one] for one in ("too_late", "cancellable")))
    await settled(past.world)
    code, out, err = await past.run("audit", "verify", "--channel")
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == (
        "The channel agrees with it: 2 outcomes were compared, 1 of them of lists."
    )


async def test_an_outcome_of_a_list_that_was_edited_or_deleted_is_named(past: Past) -> None:
    reply, card = reply_with_the_outcome(past), past.world.card(past.card)
    said, reply.text = reply.text, reply.text.replace("2 cancelled", "1 cancelled")
    assert await complaint(past) == "the reply with its outcome was edited"
    reply.text = said
    said, card.text = card.text, card.text + " Never mind."
    assert await complaint(past) == "its card was edited"
    card.text = said
    past.world.workspace.delete_message(reply)
    assert await complaint(past) == "the reply with its outcome is not in the thread"
    past.world.workspace.delete_message(card)
    code, _, err = await past.run("audit", "verify", "--channel")
    assert (code, f"request {past.list_id}: its card is not in the channel" in err) == (4, True)


async def test_a_list_that_says_something_else_of_its_orders_is_named(past: Past) -> None:
    reply = reply_with_the_outcome(past)
    assert reply.metadata
    payload = reply.metadata["event_payload"]
    payload["lines"]["cancelled"].reverse()
    wanted = "the reply with its outcome does not say what the history says, which is 'cancelled'"
    assert await complaint(past) == wanted
    payload["state"] = "several"
    wanted = "the reply with its outcome says 'several', and the history 'cancelled'"
    assert await complaint(past) == wanted


async def test_an_order_that_needs_a_person_is_compared_by_its_own_card(world: World, run: Run) -> None:
    vendor = world.vendor("tradernet")
    card = await asked(world, "\n".join(vendor.samples[one] for one in ("stuck", "cancellable")), "tradernet")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.workspace.wait_until(lambda: len(world.cards) == 2, 30)
    await world.reads(card, "Outcome: 1 needs a person and 1 cancelled")
    own = await world.reads(world.cards[1], "Now: needs a person")
    await settled(world)
    code, out, err = await run("audit", "verify", "--channel")
    assert (code, err) == (0, "")
    assert "2 outcomes were compared, 1 of them of lists." in out
    await found(world, "bob", own, CANCELLED)
    await settled(world)
    stuck = str((own.metadata or {})["event_payload"]["request_id"])
    shown = await page_of(run, stuck, world)
    decided = shown.partition("What each person saw, and decided")[2].partition("Behind the button")[0]
    assert "Approved as line 1 of 2 in request" in decided
    assert decided.count("Now: needs a person") == 1, "the card on which somebody said what they found"
    world.workspace.delete_message(world.card(own))
    code, _, err = await run("audit", "verify", "--channel")
    assert (code, err.count("its card is not in the channel")) == (4, 1)


# --- on paper ---------------------------------------------------------------------------------------


async def page_of(run: Run, request_id: str, world: World) -> str:
    code, _, err = await run("requests", "show", request_id, "--evidence", "page.html")
    assert (code, err) == (0, "")
    return Reader((world.folder / "page.html").read_text("utf-8")).text


async def test_the_page_of_an_order_on_a_list_shows_the_list_and_no_card_that_nobody_saw(past: Past) -> None:
    shown = await page_of(past.run, past.lines[1], past.world)
    database = past.world.database
    digests = rows(database, "SELECT body FROM event WHERE kind = 'batch_decided' ORDER BY seq")
    for whole in [json.loads(body)["digest"] for (body,) in digests]:
        bound = f"Approved as line 2 of 2 in request {past.list_id} , on one card; bound to {whole}"
        assert f"{bound} (the hash of the list as it was before event" in shown, bound
    assert "NOT the hash" not in shown
    assert "approvals so far" not in shown
    assert "Behind the button Details" not in shown
    alice = past.world.person("alice").id
    assert f"On the list, {alice} tried to approve, which was refused (rule own_request)." in shown
    found = rows(database, "SELECT seq, kind, hash FROM event WHERE request_id = ?", past.list_id)
    assert [kind for _, kind, _ in sorted(found)] == ABOUT_THE_LIST
    for seq, kind, hash_ in found:
        assert f"Event {seq}: {kind}" in shown
        assert str(hash_) in shown


async def test_an_approval_of_another_list_than_the_history_adds_up_to_is_marked(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.audit.dossier.batch_digest", lambda batch, lines: "0" * 64)
    shown = await page_of(past.run, past.lines[0], past.world)
    assert shown.count("NOT the hash of the list as it was") == 2


async def test_the_page_of_an_order_that_was_denied_on_a_list_shows_no_card(world: World, run: Run) -> None:
    card = await asked(world, "\n".join(new_orders(world, 2)))
    await denied(world, "bob", card, "both are live")
    done = Past(world, run, await world.reads(card, "Outcome: 2 denied"))
    shown = await page_of(run, done.lines[0], world)
    assert f"It is line 1 of 2 in request {done.list_id} , and was shown there" in shown
    assert f"On the list, {world.person('bob').id} chose to deny; that concerned 2 orders." in shown
    assert "approvals so far" not in shown


async def test_the_id_of_a_list_leads_to_the_orders_on_it(past: Past) -> None:
    code, out, err = await past.run("requests", "show", past.list_id[:8], "--evidence", "page.html")
    first, second = past.lines
    wanted = f"{past.list_id} is a list of 2 orders; give the ID of one of them: {first}, {second}.\n"
    assert (code, out, err) == (1, "", wanted)
    assert not (past.world.folder / "page.html").exists()
