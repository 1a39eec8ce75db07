"""Several orders in one request: one form, one card, two approvals, and an outcome for each of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sandbox.slack.forms import SubmitResult
from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.conftest import World
from tests.test_asynchronous import Clock, later

# What does not depend on the way in, or on the database, is tried once.
over_http = pytest.mark.parametrize("transport", ["http"])
over_a_socket = pytest.mark.parametrize("transport", ["socket"])


async def sent(world: World, lines: str, provider: str = "digicert", who: str = "alice") -> SubmitResult:
    """Open the form, switch to several, paste a list, send it."""
    person = world.person(who)
    await person.command("/cancel-order", provider)
    form = await person.modal()
    assert (await form.click("Several at once")).ok
    await world.workspace.wait_until(lambda: "Order ID, one per line" in form.labels)
    assert form.title == "Cancel several orders"
    form.fill({"Order ID, one per line": lines, "Reason": "all ordered twice"})
    return await form.submit()


async def asked(world: World, lines: str, provider: str = "digicert") -> Message:
    """The card of a list that waits for approvals."""
    before = len(world.cards)
    done = await sent(world, lines, provider)
    assert done.ok, done.errors
    card = await world.workspace.wait_until(lambda: world.cards[before])
    await world.workspace.wait_until(lambda: "Approve cancellation" in world.card(card).buttons)
    return card


async def denied(world: World, who: str, card: Message, reason: str) -> None:
    person = world.person(who)
    await person.click(world.card(card), "Deny")
    form = await person.modal()
    form.fill({"Reason": reason})
    done = await form.submit()
    assert done.ok, done.errors


def new_orders(world: World, count: int) -> list[str]:
    return [world.vendor("digicert").new_order() for _ in range(count)]


async def test_a_pasted_list_is_one_card_two_approvals_and_one_cancel_for_each_order(world: World) -> None:
    orders, vendor = new_orders(world, 5), world.vendor("digicert")
    card = await asked(world, "\n".join(orders))
    assert len(world.cards) == 1
    shown = world.card(card).readable
    assert "This cancels 5 orders and cannot be undone" in shown
    assert all(order in shown for order in orders)
    await world.approve("bob", card)
    await world.reads(card, "1 of 2 approvals")
    assert vendor.sends == []
    await world.approve("carol", card)
    await world.reads(card, "Outcome: 5 cancelled")
    assert sorted(vendor.sends) == sorted(orders)
    assert sorted(vendor.performed) == sorted(orders)
    told = await world.reads_in_thread(card, "Outcome of 5 orders at DigiCert: 5 cancelled")
    assert told.metadata is not None
    assert told.metadata["event_type"] == "order_cancellation"
    assert told.metadata["event_payload"]["state"] == "cancelled"
    assert len(told.metadata["event_payload"]["lines"]["cancelled"]) == 5
    direct = await world.workspace.wait_until(lambda: world.person("alice").dms())
    assert [message.text for message in direct if "5 orders" in message.text]
    assert len(direct) == 1, "one for all of them"
    assert len(world.cards) == 1


@over_a_socket
async def test_what_cannot_be_cancelled_is_left_out_and_said(world: World) -> None:
    vendor = world.vendor("digicert")
    orders = [vendor.samples["cancellable"], vendor.samples["too_late"], vendor.samples["cancelled"]]
    card = await asked(world, "\n".join(orders))
    shown = world.card(card).readable
    assert "This cancels 1 order and" in shown
    assert "1 cannot be cancelled" in shown
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: 1 cancelled, 1 already cancelled and 1 cannot be cancelled")
    assert vendor.sends == [orders[0]]


@over_http
async def test_a_failure_of_one_is_told_as_such_and_does_not_stop_the_others(world: World) -> None:
    orders, vendor = new_orders(world, 4), world.vendor("digicert")
    card = await asked(world, "\n".join(orders))
    vendor.fail_next(Fault.REJECT, on="cancel")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: 3 cancelled and 1 refused by the provider")
    refused = next(order for order in orders if not vendor.is_cancelled(order))
    told = await world.reads_in_thread(card, "Outcome of 4 orders")
    assert f"{refused}: refused by the provider." in told.readable
    assert f"{refused}: refused by the provider." in world.card(card).readable


@over_http
async def test_a_lost_answer_is_looked_up_for_that_order_alone_and_sent_once(world: World) -> None:
    orders, vendor = new_orders(world, 3), world.vendor("digicert")
    card = await asked(world, "\n".join(orders))
    vendor.fail_next(Fault.LOSE_ANSWER)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: 3 cancelled")
    assert sorted(vendor.sends) == sorted(orders)


async def test_an_order_that_changed_after_the_approvals_waits_alone_for_new_ones(world: World) -> None:
    orders, vendor = new_orders(world, 3), world.vendor("digicert")
    card = await asked(world, "\n".join(orders))
    await world.approve("bob", card)
    await world.reads(card, "1 of 2 approvals")
    vendor.orders[orders[1]].common_name = "another.example"
    await world.approve("carol", card)
    await world.reads_in_thread(card, "was not sent: since it was approved the order changed")
    await world.reads(card, "2 cancelled")
    now = await world.reads(card, "This cancels 1 order")
    assert "0 of 2 approvals" in now.readable
    assert sorted(vendor.sends) == sorted([orders[0], orders[2]])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: 3 cancelled")
    assert vendor.sends.count(orders[1]) == 1


@over_a_socket
async def test_a_click_on_a_card_that_shows_something_else_does_not_count(world: World) -> None:
    orders, vendor = new_orders(world, 2), world.vendor("digicert")
    card = await asked(world, "\n".join(orders))
    old = replace(world.card(card))
    await world.approve("bob", card)
    vendor.orders[orders[1]].common_name = "another.example"
    await world.approve("carol", card)
    await world.reads(card, "This cancels 1 order")
    await world.person("dan").click(old, "Approve")
    await world.said("dan", "This card is out of date")
    assert "0 of 2 approvals" in world.card(card).readable


@over_http
@pytest.mark.parametrize("button", ["Approve cancellation", "Deny", "Ask a question"])
async def test_a_copy_of_the_card_decides_nothing(world: World, button: str) -> None:
    card = await asked(world, "\n".join(new_orders(world, 2)))
    elsewhere, bot = world.workspace.channel("C0ORDERS"), world.workspace.bot_user
    copy = world.workspace.post(elsewhere, bot, card.text, blocks=world.card(card).blocks, by_app=True)
    await world.person("bob").click(copy, button)
    await world.said("bob", "not the current card")
    assert "0 of 2 approvals" in world.card(card).readable


@over_a_socket
async def test_one_denial_ends_all_of_them(world: World) -> None:
    card = await asked(world, "\n".join(new_orders(world, 3)))
    await world.approve("bob", card)
    await denied(world, "carol", card, "half of them are live")
    await world.reads(card, "Outcome: 3 denied")
    await world.reads_in_thread(card, "half of them are live")
    assert world.vendor("digicert").sends == []
    assert world.decisions(card) == []


@over_http
async def test_the_requester_cannot_approve_and_can_withdraw(world: World) -> None:
    card = await asked(world, "\n".join(new_orders(world, 3)))
    await world.approve("alice", card)
    await world.said("alice", "somebody else has to approve it")
    await world.person("bob").click(world.card(card), "Withdraw")
    await world.said("bob", "Only the person who asked can withdraw")
    await world.person("alice").click(world.card(card), "Withdraw")
    await world.reads(card, "Outcome: 3 withdrawn")


@over_a_socket
async def test_an_approval_can_be_taken_back_from_all_of_them(world: World) -> None:
    card = await asked(world, "\n".join(new_orders(world, 3)))
    await world.approve("bob", card)
    await world.reads(card, "1 of 2 approvals")
    await world.person("bob").click(world.card(card), "Take back my approval")
    await world.reads(card, "0 of 2 approvals")
    await world.approve("carol", card)
    await world.reads(card, "1 of 2 approvals")
    assert world.vendor("digicert").sends == []


@over_http
async def test_a_second_click_of_one_person_is_no_second_approval(world: World) -> None:
    card = await asked(world, "\n".join(new_orders(world, 2)))
    for _ in range(2):
        await world.approve("bob", card)
    await world.said("bob", "You approved already; it counts once. 1 more person is needed.")
    await world.reads(card, "1 of 2 approvals")
    assert world.vendor("digicert").sends == []


@over_a_socket
async def test_somebody_who_is_not_on_call_cannot_approve_a_list(world: World) -> None:
    card = await asked(world, "\n".join(new_orders(world, 2)))
    await world.approve("gina", card)
    await world.said("gina", "You cannot decide on this request")
    assert "0 of 2 approvals" in world.card(card).readable


@over_http
async def test_what_needs_a_person_gets_a_card_of_its_own(world: World) -> None:
    vendor = world.vendor("tradernet")
    orders = [vendor.samples["stuck"], vendor.samples["cancellable"]]
    card = await asked(world, "\n".join(orders), "tradernet")
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.workspace.wait_until(lambda: len(world.cards) == 2, 30)
    await world.reads(card, "Outcome: 1 needs a person and 1 cancelled")
    own = await world.reads(world.cards[1], "Now: needs a person")
    assert "Close with what you found" in own.buttons
    assert sorted(vendor.sends) == sorted(orders)


@over_a_socket
async def test_every_wrong_line_is_named_and_nothing_is_asked(world: World) -> None:
    order = world.vendor("digicert").samples["cancellable"]
    done = await sent(world, f"{order}\n\nabc\n{order}")
    (problem,) = done.errors.values()
    assert "Line 3 cannot be right" in problem
    assert "Lines 1 and 4 are the same order" in problem
    assert world.cards == []


@over_http
async def test_an_order_in_another_open_request_is_refused_by_name(world: World) -> None:
    order, other = world.vendor("digicert").samples["cancellable"], world.vendor("digicert").new_order()
    await world.asked("alice", "digicert", order)
    done = await sent(world, f"{other}\n{order}", who="dan")
    (problem,) = done.errors.values()
    assert f"Line 2 ({order}) is being dealt with already in request" in problem
    assert len(world.cards) == 1


@over_a_socket
async def test_more_than_two_hundred_are_refused(world: World) -> None:
    done = await sent(world, "\n".join(str(1000 + n) for n in range(201)))
    assert "These are 201 orders" in str(done.errors)


@over_http
async def test_an_order_that_was_denied_before_is_told_first(world: World) -> None:
    orders = new_orders(world, 2)
    await denied(world, "bob", await asked(world, orders[0]), "no")
    done = await sent(world, "\n".join(orders))
    assert done.ok
    form = await world.person("alice").modal()
    assert "Asked for before" in form.readable
    assert len(world.cards) == 1
    again = await form.submit()
    assert again.ok
    await world.workspace.wait_until(lambda: len(world.cards) == 2)


@over_a_socket
async def test_a_csv_gives_each_order_a_reason_of_its_own(world: World) -> None:
    orders = new_orders(world, 2)
    card = await asked(world, f'reference,reason\n{orders[0]},"wrong name, twice"\n{orders[1]}')
    bob = world.person("bob")
    await bob.click(world.card(card), "Details")
    shown = (await bob.modal()).readable
    assert "Because: wrong name, twice" in shown
    assert shown.count("Because:") == 1


@over_http
async def test_the_details_have_every_order_page_by_page(world: World) -> None:
    orders = new_orders(world, 45)
    card = await asked(world, "\n".join(orders))
    assert "and 37 more in Details" in world.card(card).readable
    bob = world.person("bob")
    await bob.click(world.card(card), "Details")
    page = await bob.modal()
    assert page.title == "Details 1 of 3"
    seen = page.readable
    for number in (2, 3):
        await page.click("Next page")
        await world.workspace.wait_until(lambda n=number: page.title == f"Details {n} of 3")  # type: ignore[misc]
        seen += page.readable
    assert all(f"order ID {order}" in seen for order in orders)


@over_a_socket
async def test_a_list_is_found_by_its_id_and_among_ones_own(world: World) -> None:
    card = await asked(world, "\n".join(new_orders(world, 3)))
    alice = world.person("alice")
    await alice.command("/cancel-order", "mine")
    told = await world.said("alice", "Your requests")
    identity = told.readable.rsplit("request ", 1)[1][:8]
    await alice.command("/cancel-order", f"status {identity}")
    await world.said("alice", "3 waiting for approval")
    await alice.command("/cancel-order", f"withdraw {identity}")
    await world.reads(card, "Outcome: 3 withdrawn")


@over_http
async def test_a_list_that_nobody_decides_on_is_reminded_of_and_expires_as_one(quiet_world: World) -> None:
    world, clock = quiet_world, Clock()
    await world.start_bot(clock=clock, REQUEST_TTL="12h", REMIND_AFTER="1h")
    card = await asked(world, "\n".join(new_orders(world, 3)))
    await later(world, clock, timedelta(hours=1))
    await world.reads_in_thread(card, "Reminder: 3 orders at DigiCert still need 2 approvals")
    await later(world, clock, timedelta(hours=9, minutes=1))
    await world.reads_in_thread(card, "Last call")
    await later(world, clock, timedelta(hours=2))
    await world.reads(card, "Outcome: 3 expired")
    await world.reads_in_thread(card, "Outcome of 3 orders at DigiCert: 3 expired")
    expired = [reply for reply in world.card(card).thread if "The request expired" in reply.readable]
    assert len(expired) == 1
    assert world.vendor("digicert").sends == []


async def test_a_list_survives_a_restart_in_the_middle(world: World) -> None:
    orders, vendor = new_orders(world, 6), world.vendor("digicert")
    card = await asked(world, "\n".join(orders))
    await world.approve("bob", card)
    await world.stop_bot()
    await world.start_bot()
    await world.approve("carol", card)
    await world.workspace.wait_until(lambda: vendor.sends)
    await world.stop_bot()
    await world.start_bot()
    await world.reads(card, "Outcome: 6 cancelled", timeout=40)
    assert sorted(vendor.sends) == sorted(orders)
