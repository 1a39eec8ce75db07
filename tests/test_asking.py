"""The requester in a hurry: pasted links, somebody's message, an order that was asked for before."""

from __future__ import annotations

import pytest

from sandbox.slack.forms import ViewHandle
from tests.conftest import World


async def typed(world: World, text: str) -> ViewHandle:
    """The form that opens for what Alice typed."""
    alice = world.person("alice")
    await alice.command("/cancel-order", text)
    return await alice.modal()


async def test_a_pasted_link_fills_the_form_and_says_what_was_guessed(world: World) -> None:
    form = await typed(world, "https://www.digicert.com/secure/orders/123456/")
    assert "Check that it is the Order ID you mean" in form.readable
    form.fill({"Reason": "ordered twice"})
    sent = await form.submit()
    assert sent.ok
    card = await world.workspace.wait_until(lambda: world.cards[-1])
    await world.reads(card, "DigiCert order ID 123456")


async def test_a_number_of_several_providers_waits_for_a_choice(world: World) -> None:
    form = await typed(world, "123456")
    assert "Choose which" in form.readable
    form.fill({"Reason": "ordered twice"})
    sent = await form.submit()
    assert not sent.ok
    assert world.cards == []


async def test_a_mistyped_provider_opens_the_form_of_the_nearest(world: World) -> None:
    form = await typed(world, "digcert 123456")
    assert "digcert was taken for DigiCert" in form.readable


async def test_a_mistyped_verb_is_answered_with_the_nearest(world: World) -> None:
    await world.person("alice").command("/cancel-order", "pendng")
    told = await world.said("alice", "Did you mean")
    assert "pending" in told.text


async def test_somebodys_message_about_an_order_becomes_a_request(world: World) -> None:
    world.workspace.post(
        world.workspace.channel("C0GENERAL"),
        "U0DAN",
        "can somebody stop DigiCert order 123456? it is a duplicate",
    )
    message = world.workspace.channel("C0GENERAL").messages[-1]
    alice = world.person("alice")
    answer = await alice.message_shortcut("cancel_this_order", message)
    assert answer.ok
    form = await alice.modal()
    sent = await form.submit()
    assert sent.ok, sent.errors
    card = await world.workspace.wait_until(lambda: world.cards[-1])
    shown = await world.reads(card, "DigiCert order ID 123456")
    assert "it is a duplicate" in shown.readable


async def test_an_order_that_is_dealt_with_already_is_shown_with_a_link_to_its_card(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    await world.asked("alice", "digicert", reference)
    dan = world.person("dan")
    await dan.command("/cancel-order", f"digicert {reference} me too")
    again = await (await dan.modal()).submit()
    assert again.ok
    told = await dan.modal()
    assert "This order is being dealt with already" in told.readable
    assert "waiting for approval" in told.readable
    once_more = await told.submit()
    assert once_more.ok
    assert len(world.cards) == 1


async def test_an_order_that_was_denied_can_be_asked_again_by_who_has_read_why(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    bob = world.person("bob")
    await bob.click(card, "Deny")
    form = await bob.modal()
    form.fill({"Reason": "it is the wrong certificate"})
    await form.submit()
    await world.reads(card, "denied")
    dan = world.person("dan")
    await dan.command("/cancel-order", f"digicert {reference} please")
    await (await dan.modal()).submit()
    told = await dan.modal()
    assert "This order was asked for before" in told.readable
    assert "it is the wrong certificate" in told.readable
    assert len(world.cards) == 1
    await told.submit()
    await world.workspace.wait_until(lambda: len(world.cards) == 2)


async def test_what_was_withdrawn_is_asked_again_by_a_button_as_a_new_request(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    alice = world.person("alice")
    await alice.click(card, "Withdraw")
    ended = await world.reads(card, "withdrawn")
    await alice.click(ended, "Ask again")
    form = await alice.modal()
    assert "stays as it ended" in form.readable
    sent = await form.submit()
    assert sent.ok, sent.errors
    await world.workspace.wait_until(lambda: len(world.cards) == 2)
    new = await world.reads(world.cards[-1], "0 of 2")
    assert f"{reference}" in new.readable


@pytest.mark.parametrize("transport", ["socket"])
async def test_an_order_is_not_asked_for_again_and_again(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    alice = world.person("alice")
    for _ in range(5):
        card = await world.asked("alice", "digicert", reference)
        await alice.click(card, "Withdraw")
        await world.reads(card, "withdrawn")
    await alice.command("/cancel-order", f"digicert {reference} once more")
    sent = await (await alice.modal()).submit()
    assert "5 times within a day" in str(sent.errors)


@pytest.mark.parametrize("transport", ["socket"])
async def test_a_request_that_nobody_could_approve_is_refused_at_once(quiet_world: World) -> None:
    world = quiet_world
    world.workspace.members["U0DAN"].deleted = True
    await world.start_bot(APPROVERS="U0ALICE,U0BOB,U0DAN")
    reference = world.vendor("digicert").samples["cancellable"]
    alice = world.person("alice")
    await alice.command("/cancel-order", f"digicert {reference} ordered twice")
    sent = await (await alice.modal()).submit()
    assert "besides you only 1 of the approvers could" in str(sent.errors)
    assert world.cards == []
