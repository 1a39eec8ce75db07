"""What people do with several orders at once besides approving them: ask, look, ask again, find, stop."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from bot.batch.rules import batch_digest
from bot.batch.views import View
from bot.model import State, digest
from bot.store.chain import Head
from providers import digicert
from sandbox.vendors.vendor import Fault
from tests.bot.stores import opened
from tests.bot.test_cli import run
from tests.conftest import World
from tests.past_the_bot import rows
from tests.test_asynchronous import Clock, later
from tests.test_batches import asked, denied, new_orders, sent
from tests.test_closing import CANCELLED, found
from tests.test_home import home_reads
from tests.test_waiting import HOUR, SECOND_LINE


@pytest.fixture
def transport() -> str:
    """Both ways in are tried in `test_batches.py`."""
    return "http"


async def identity_of(world: World, who: str = "alice") -> str:
    person = world.person(who)
    await person.command("/cancel-order", "mine")
    told = await world.said(who, "Your requests")
    return told.readable.rsplit("request ", 1)[1][:8]


def list_in(world: World) -> View:
    """The only list there is, as it is stored."""
    with opened(world.database, None) as store:
        return store.read_now(lambda unit: next((one, unit.lines_of(one)) for one in unit.batches()))


async def test_whoever_approved_a_list_can_approve_it_again_when_it_has_changed(world: World) -> None:
    """An order changed and somebody else's approval stopped counting; the other order is as it was."""
    vendor, bob = world.vendor("digicert"), world.person("bob")
    orders = new_orders(world, 2)
    card = await asked(world, "\n".join(orders))
    await bob.command("/cancel-order", "pause digicert their pages are down")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "n hold")
    vendor.orders[orders[1]].common_name = "changed.example"
    world.workspace.set_group("S0ONCALL", ["U0BOB", "U0DAN"])
    await bob.command("/cancel-order", "resume digicert")
    await world.reads(card, "This cancels 2 orders")
    await world.approve("bob", card)
    await world.reads(card, "1 of 2 approvals")
    await world.approve("dan", card)
    await world.reads(card, "Outcome: 2 cancelled")


async def test_a_provider_that_bears_few_calls_costs_time_and_no_order(
    quiet_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for its turn longer than a call may take."""
    monkeypatch.setattr(digicert, "PACE", (1, 0.4))
    world, vendor = quiet_world, quiet_world.vendor("digicert")
    await world.start_bot(PROVIDER_TIMEOUT="1s", RECONCILE_AFTER="2s")
    orders = [vendor.new_order() for _ in range(4)]
    card = await asked(world, "\n".join(orders))
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: 4 cancelled", timeout=30)
    assert sorted(vendor.sends) == sorted(orders)
    read = rows(world.database, "SELECT body FROM event WHERE kind = 'order_read'")
    assert [json.loads(body)["order"]["standing"] for (body,) in read] == ["cancellable"] * 4


async def test_a_question_calls_the_requester_and_decides_nothing(world: World) -> None:
    card = await asked(world, "\n".join(new_orders(world, 2)))
    bob, alice = world.person("bob"), world.person("alice")
    await bob.click(world.card(card), "Ask a question")
    form = await bob.modal()
    assert "asks to cancel 2 orders at DigiCert" in form.readable
    form.fill({"Question": "Which one is the twin?"})
    assert (await form.submit()).ok
    told = await world.reads_in_thread(card, "Which one is the twin?")
    assert told.readable.startswith("@Alice, @Bob asks")
    await alice.click(world.card(card), "Ask a question")
    await world.said("alice", "This is your own request")
    await world.approve("bob", card)
    await world.reads(card, "1 of 2 approvals")


async def test_what_was_denied_can_be_asked_for_again_with_one_click(world: World) -> None:
    orders = new_orders(world, 3)
    typed = f'{orders[0]},"its address, too"\n{orders[1]}\n{orders[2]}'
    card = await asked(world, typed)
    await denied(world, "bob", card, "not before Monday")
    await world.reads(card, "Outcome: 3 denied")
    alice = world.person("alice")
    await alice.click(world.card(card), "Ask again")
    form = await alice.modal()
    assert form.values["Order ID, one per line"] == typed
    assert form.values["Reason"] == "all ordered twice"
    await form.submit()
    await world.workspace.wait_until(lambda: "Asked for before" in form.readable)
    assert "if they have to be asked again, or take the line out." in form.readable
    assert (await form.submit()).ok
    await world.workspace.wait_until(lambda: len(world.cards) == 2)
    await world.reads(world.cards[1], "This cancels 3 orders")


async def test_it_waits_in_the_home_of_whoever_may_approve_and_works_there(world: World) -> None:
    await world.person("bob").open_home()
    await home_reads(world, "bob", "Nothing waits for your decision")
    orders = new_orders(world, 3)
    card = await asked(world, "\n".join(orders))
    home = await home_reads(world, "bob", "3 orders at DigiCert: 0 of 2 approvals")
    await home.click("Approve cancellation")
    await world.reads(card, "1 of 2 approvals")
    await home_reads(world, "bob", "Nothing waits for your decision")
    await world.person("alice").open_home()
    mine = await home_reads(world, "alice", "3 orders at DigiCert: 3 waiting for approval")
    assert "Approve cancellation" not in mine.buttons
    await world.approve("carol", card)
    await world.reads(card, "Outcome: 3 cancelled")
    await home_reads(world, "alice", "3 orders at DigiCert: 3 cancelled")
    assert sorted(world.vendor("digicert").sends) == sorted(orders)


async def test_the_lists_have_it_once_and_not_each_order(world: World) -> None:
    card = await asked(world, "\n".join(new_orders(world, 3)))
    dan = world.person("dan")
    await dan.command("/cancel-order", "pending")
    told = await world.said("dan", "Waiting for people")
    assert told.readable.count("•") == 1
    assert "3 orders at DigiCert: 3 waiting for approval" in told.readable
    identity = await identity_of(world)
    await dan.command("/cancel-order", "history digicert")
    assert "None." in (await world.said("dan", "Requests that ended")).readable
    await world.person("alice").command("/cancel-order", f"withdraw {identity}")
    await world.reads(card, "Outcome: 3 withdrawn")
    for narrowed in ("history", "history digicert", "history U0ALICE"):
        await dan.command("/cancel-order", narrowed)
        told = await world.said("dan", "3 withdrawn")
        assert "3 orders at DigiCert: 3 withdrawn" in told.readable
    for other in ("history payvalida", "history me"):
        await dan.command("/cancel-order", other)
        await world.workspace.wait_until(
            lambda: world.person("dan").ephemerals()[-1].readable.endswith("None.")
        )


async def test_an_order_that_needs_a_person_is_found_by_itself(world: World) -> None:
    vendor = world.vendor("tradernet")
    card = await asked(world, vendor.samples["stuck"], "tradernet")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "1 needs a person", 30)
    await world.person("dan").command("/cancel-order", "pending")
    told = await world.said("dan", "Waiting for people")
    assert f"order ID {vendor.samples['stuck']}: needs a person" in told.readable
    await world.reads(world.cards[1], "Now: needs a person")
    own = await found(world, "bob", world.cards[1], CANCELLED)
    await world.person("carol").click(own, "Confirm")
    await world.reads(card, "needs a person, closed: people found it cancelled at the provider")
    outcomes = [one for one in world.card(card).thread if "Outcome of 1 order" in one.readable]
    assert len(outcomes) == 1


async def test_one_order_can_be_taken_off_the_list_before_it_is_approved(world: World) -> None:
    orders, vendor = new_orders(world, 3), world.vendor("digicert")
    card = await asked(world, "\n".join(orders))
    alice = world.person("alice")
    ((line,),) = rows(
        world.database,
        "SELECT id FROM request WHERE id IN (SELECT request_id FROM line WHERE number = 2)",
    )
    await alice.command("/cancel-order", f"withdraw {line}")
    await world.reads(card, "This cancels 2 orders")
    await world.reads_in_thread(card, f"DigiCert order ID {orders[1]} is off the list. Outcome: withdrawn.")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: 2 cancelled and 1 withdrawn")
    assert sorted(vendor.sends) == [orders[0], orders[2]]


async def test_two_people_cannot_approve_one_order_of_a_list_by_a_forged_button(world: World) -> None:
    """What each order of it is, and the digest it would have alone, are no secrets."""
    card = await asked(world, "\n".join(new_orders(world, 2)))
    batch, (line, _) = list_in(world)
    whole = batch_digest(batch, [line])
    for who in ("bob", "carol"):
        for action, value in (
            ("approve", f"{line.id}:{digest(line)}"),
            ("approve", f"{batch.id}:{digest(line)}"),
            ("batch_approve", f"{line.id}:{whole}"),
            ("batch_approve", f"{batch.id}:{whole}"),
            ("batch_approve", f"{batch.id}:{digest(line)}"),
            ("batch_approve", batch.id),
        ):
            now = world.card(card)
            block = next(block for block in now.blocks if block["block_id"] == "buttons")
            element = {**block["elements"][0], "action_id": action, "value": value}
            await world.person(who).act(now, block, element)
    _, lines = list_in(world)
    assert [line.approvals for line in lines] == [(), ()]
    assert rows(world.database, "SELECT request_id FROM card") == [(batch.id,)]
    assert [line.state for line in lines] == [State.PENDING] * 2
    assert world.vendor("digicert").sends == []


async def test_an_unknown_outcome_is_told_while_it_is_checked_and_the_rest_goes_on(world: World) -> None:
    orders, vendor = new_orders(world, 3), world.vendor("digicert")
    card = await asked(world, "\n".join(orders))
    vendor.fail_next(Fault.LOSE_ANSWER)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "2 of 3 done")
    await world.reads(card, "1 outcome unknown, checking and 2 cancelled")
    await world.reads(card, "Outcome: 3 cancelled")
    assert sorted(vendor.sends) == sorted(orders)


async def test_the_command_line_shows_the_list_with_each_order(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = new_orders(world, 3)
    await asked(world, "\n".join(orders))
    batch, lines = list_in(world)
    monkeypatch.setenv("DATABASE_URL", world.database)
    code, out, _ = run(capsys, "requests", "show", batch.short_id)
    assert code == 0
    assert f"Request    {batch.id}\nOrders     3 at digicert\nOutcome    3 waiting for approval" in out
    assert all(f"{line.short_id}  " in out and line.reference in out for line in lines)
    told = json.loads(run(capsys, "requests", "show", batch.short_id, "--json")[1])
    assert told["digest"] == batch_digest(batch, lines)
    assert [line["reference"] for line in told["lines"]] == orders
    code, out, _ = run(capsys, "requests", "list")
    assert [row.endswith(f"(in {batch.short_id})") for row in out.splitlines()] == [True] * 3
    code, out, _ = run(capsys, "requests", "show", lines[0].short_id)
    assert f"Together   in {batch.id}" in out


async def test_history_and_digests_hold_after_a_list_was_carried_out(world: World) -> None:
    card = await asked(world, "\n".join(new_orders(world, 3)))
    whole = batch_digest(*list_in(world))
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: 3 cancelled")
    batch, lines = list_in(world)
    assert [{approval.whole for approval in line.approvals} for line in lines] == [{whole}] * 3
    assert batch_digest(batch, lines) == whole
    with opened(world.database, None) as store:
        store.read_now(lambda unit: unit.verify(Head()))
        store.read_now(lambda unit: unit.prove_batch(batch))
        for line in lines:
            store.read_now(lambda unit, line=line: unit.prove(line))  # type: ignore[misc]


async def test_secret_references_are_shown_as_fingerprints_and_not_kept(world: World) -> None:
    vendor = world.vendor("servertastic")
    tokens = [vendor.samples["cancellable"], vendor.samples["another"]]
    alice = world.person("alice")
    await alice.command("/cancel-order", "servertastic")
    form = await alice.modal()
    await form.click("Several at once")
    box = "Order token or reference, one per line"
    await world.workspace.wait_until(lambda: box in form.labels)
    form.fill({box: "\n".join([*tokens, f"{tokens[0]}!"]), "Reason": f"{tokens[1]} came twice"})
    wrong = " ".join((await form.submit()).errors.values())
    assert "Line 3 cannot be right" in wrong
    assert not any(token in wrong for token in tokens)
    form.fill({box: "\n".join(tokens), "Reason": "came twice"})
    assert (await form.submit()).ok
    card = await world.workspace.wait_until(lambda: world.cards[0])
    await world.reads(card, "This cancels 2 orders")
    await denied(world, "bob", card, "no")
    await world.reads(card, "Outcome: 2 denied")
    await alice.click(world.card(card), "Ask again")
    again = await alice.modal()
    assert "The references of 2 orders are secrets and are not kept" in again.readable
    assert not any(token in str(again.blocks) + world.workspace.transcript() for token in tokens)
    assert rows(world.database, "SELECT value FROM reference") == []


async def test_a_second_line_is_called_about_the_list_once_and_may_decide_from_then_on(
    quiet_world: World,
) -> None:
    world, clock = quiet_world, Clock()
    world.workspace.set_group("S0ONCALL", ["U0BOB", "U0CAROL"])
    await world.start_bot(clock=clock, **SECOND_LINE)
    card = await asked(world, "\n".join(new_orders(world, 2)))
    await world.approve("dan", card)
    await world.said("dan", "not on the list of approvers")
    await later(world, clock, 2 * HOUR)
    await world.reads_in_thread(card, "2 orders still wait for approval. From now on you may approve or deny")
    await world.reads(card, "@Dan may decide too.")
    clock.ahead = timedelta(0)  # nothing is sent by a clock that is wrong
    await world.approve("dan", card)
    await world.reads(card, "1 of 2 approvals")
    await world.approve("bob", card)
    await world.reads(card, "Outcome: 2 cancelled")


async def test_a_second_line_is_called_also_when_the_list_was_on_hold_at_that_time(
    quiet_world: World,
) -> None:
    world, clock, vendor = quiet_world, Clock(), quiet_world.vendor("digicert")
    await world.start_bot(clock, **SECOND_LINE)
    orders = new_orders(world, 2)
    card = await asked(world, "\n".join(orders))
    await world.person("bob").command("/cancel-order", "pause digicert their pages are down")
    await world.said("bob", "is paused")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "n hold")
    await later(world, clock, 2 * HOUR + timedelta(minutes=1))
    for order in orders:
        vendor.orders[order].common_name = "changed.example"
    await world.person("bob").command("/cancel-order", "resume digicert")
    await world.reads_in_thread(card, "From now on you may approve or deny")


async def test_a_list_that_only_has_to_wait_reminds_nobody(quiet_world: World) -> None:
    world, clock = quiet_world, Clock()
    await world.start_bot(clock, REMIND_AFTER="10m")
    card = await asked(world, "\n".join(new_orders(world, 2)))
    await world.person("bob").command("/cancel-order", "pause digicert their pages are down")
    await world.said("bob", "is paused")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "n hold")
    await later(world, clock, timedelta(minutes=11))
    async with asyncio.timeout(20):
        while rows(world.database, "SELECT runs FROM action WHERE kind = 'batch_remind'") == [(0,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # nobody is told of it, which is the point
    assert not [reply for reply in world.card(card).thread if "Reminder" in reply.text]


async def test_whoever_withdraws_twice_has_done_it_once(world: World) -> None:
    """Also where an order on the list had ended before."""
    vendor = world.vendor("digicert")
    card = await asked(world, "\n".join([vendor.samples["too_late"], vendor.samples["cancellable"]]))
    screen = world.card(card).snapshot()
    for _ in range(2):
        await world.person("alice").click(screen, "Withdraw")
    await world.said("alice", "You have done that already")
    assert rows(world.database, "SELECT kind FROM event WHERE kind = 'batch_attempt_refused'") == []


async def test_a_refused_list_is_in_the_history_as_a_refused_order_is(quiet_world: World) -> None:
    await quiet_world.start_bot(REQUESTERS="U0DAN")
    done = await sent(quiet_world, "\n".join(new_orders(quiet_world, 2)))
    assert not done.ok
    (found,) = rows(quiet_world.database, "SELECT body FROM event WHERE kind = 'ask_refused'")
    assert json.loads(found[0])["rule"] == "not_requester"
