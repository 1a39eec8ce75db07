"""What else people do: deny, withdraw, click twice, click too late, type nonsense."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.conftest import World
from tests.past_the_bot import dumped, rows


async def denied(world: World, who: str, card: Message, reason: str) -> None:
    person = world.person(who)
    await person.click(world.card(card), "Deny")
    form = await person.modal()
    form.fill({"Reason": reason})
    sent = await form.submit()
    assert sent.ok, sent.errors


def events(world: World, kind: str) -> list[tuple[Any, ...]]:
    """What the history holds, read past the bot."""
    return rows(world.database, "SELECT body FROM event WHERE kind = ?", kind)


def stored(world: World) -> bytes:
    """Everything the bot has in its database and on its disk."""
    return dumped(world.database) + b"".join(file.read_bytes() for file in world.folder.iterdir())


# --- people decide ------------------------------------------------------------------------------------


async def test_a_denial_needs_a_reason_and_ends_the_request(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    await denied(world, "carol", card, "this one goes live on Monday")
    done = await world.reads(card, "Outcome: denied")
    assert "this one goes live on Monday" in done.readable
    assert world.decisions(done) == []
    dm = await world.workspace.wait_until(lambda: world.person("alice").dms()[-1])
    assert "denied" in dm.text
    assert world.vendor("digicert").sends == []


async def test_a_requester_cannot_approve_or_deny_their_own_request(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("bob", "digicert", reference)
    await world.approve("bob", card)
    await world.said("bob", "somebody else has to approve")
    await world.person("bob").click(world.card(card), "Deny")
    await world.said("bob", "Use Withdraw")
    assert "nobody" in world.card(card).readable
    assert len(events(world, "attempt_refused")) == 1


async def test_a_requester_withdraws_and_nobody_else_can(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    await world.person("bob").click(world.card(card), "Withdraw")
    await world.said("bob", "Only the person who asked can withdraw")
    await world.person("alice").click(world.card(card), "Withdraw")
    await world.reads(card, "Outcome: withdrawn")
    assert world.vendor("digicert").sends == []


@pytest.mark.parametrize(("who", "why"), [("alice", "not on the list"), ("gina", "not on the list")])
async def test_somebody_who_is_not_on_call_cannot_approve(world: World, who: str, why: str) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("bob", "digicert", reference)
    await world.approve(who, card)
    await world.said(who, why)
    assert "nobody" in world.card(card).readable


async def test_a_guest_in_the_group_and_an_outsider_cannot_approve(quiet_world: World) -> None:
    world = quiet_world
    world.workspace.set_group("S0ONCALL", ["U0BOB", "U0CAROL", "U0GINA", "U0EVE"])
    await world.start_bot()
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    await world.approve("gina", card)
    await world.said("gina", "a guest")
    await world.approve("eve", card)
    await world.said("eve", "Only members of the workspace")
    assert "nobody" in world.card(card).readable


async def test_an_approver_who_left_before_the_permit_does_not_count(quiet_world: World) -> None:
    world, vendor = quiet_world, quiet_world.vendor("digicert")
    await world.start_bot(PROVIDER_TIMEOUT="8s", RECONCILE_AFTER="9s")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    await world.approve("bob", card)
    vendor.fail_next(Fault.HANG, on="read")  # the look-up before the permit
    await world.approve("carol", card)
    await world.reads(card, "Approved by")
    world.workspace.deactivate("bob")
    vendor.release()
    voided = await world.workspace.wait_until(
        lambda: next(reply for reply in world.card(card).thread if "no longer counts" in reply.readable)
    )
    assert "not on the list of approvers" in voided.readable, "Slack takes people who left out of groups"
    await world.workspace.wait_until(lambda: "Approve cancellation" in world.card(card).buttons)
    assert vendor.sends == []
    await world.approve("dan", card)
    await world.reads(card, "Outcome: cancelled")


# --- clicking too often, too early, too late ----------------------------------------------------------


async def test_eight_simultaneous_clicks_are_one_vote(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    shown = world.card(card).snapshot()
    answers = await asyncio.gather(*(world.person("bob").click(shown, "Approve") for _ in range(8)))
    assert all(answer.ok for answer in answers)
    await world.reads(card, "1 more needed")
    assert len(events(world, "approved")) == 1


async def test_two_approvers_in_the_same_instant_send_once(world: World) -> None:
    vendor = world.vendor("payvalida")
    reference = vendor.samples["cancellable"]
    card = await world.asked("alice", "payvalida", reference)
    shown = world.card(card).snapshot()
    await asyncio.gather(*(world.person(who).click(shown, "Approve") for who in ("bob", "carol", "dan")))
    await world.reads(card, "Outcome: cancelled")
    assert vendor.sends == [reference]
    assert len(events(world, "permitted")) == 1


async def test_a_click_on_a_decided_card_gets_an_honest_answer(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    old = world.card(card).snapshot()
    await denied(world, "carol", card, "no")
    await world.person("bob").click(old, "Approve")
    await world.said("bob", "has been decided")


@pytest.mark.parametrize("button", ["Approve", "Deny", "Ask a question"])
async def test_a_card_forwarded_to_another_channel_cannot_be_clicked(world: World, button: str) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    copy = world.workspace.post(
        world.workspace.channel("C0ORDERS"),
        world.workspace.bot_user,
        card.text,
        blocks=world.card(card).blocks,
        by_app=True,
    )
    await world.person("bob").click(copy, button)
    await world.said("bob", "not the current card")
    assert "nobody" in world.card(card).readable


async def test_approvals_of_an_order_that_changed_are_cleared(world: World) -> None:
    vendor = world.vendor("digicert")
    reference = vendor.samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    await world.approve("bob", card)
    vendor.set_state(reference, "waiting_pickup")
    await world.approve("carol", card)
    changed = await world.workspace.wait_until(
        lambda: next(reply for reply in world.card(card).thread if "The order changed" in reply.text)
    )
    assert "approvals given before" in changed.text.lower()
    await world.workspace.wait_until(lambda: "Approve cancellation" in world.card(card).buttons)
    assert vendor.sends == []
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: cancelled")
    assert vendor.sends == [reference]


# --- orders nobody should be asked about --------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "sample", "words"),
    [
        ("digicert", "cancelled", "already cancelled"),
        ("digicert", "too_late", "cannot be cancelled"),
        ("digicert", "reissue", "cannot be cancelled"),
        ("payvalida", "too_late", "cannot be cancelled"),
        ("tradernet", "too_late", "cannot be cancelled"),
        ("servertastic", "too_late", "cannot be cancelled"),
        ("cpanel", "too_late", "cannot be cancelled"),
    ],
)
async def test_an_order_that_cannot_be_cancelled_bothers_no_approver(
    world: World, provider: str, sample: str, words: str
) -> None:
    card = await world.ask("alice", provider, world.vendor(provider).samples[sample])
    done = await world.reads(card, words)
    assert world.decisions(done) == []
    assert not any("@oncall" in reply.readable for reply in world.card(card).thread)


async def test_a_provider_that_cannot_be_asked_is_said_and_people_decide(world: World) -> None:
    vendor = world.vendor("digicert")
    vendor.fail_next(Fault.HTML, on="read")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    assert "could not be asked" in world.card(card).readable


# --- outcomes -----------------------------------------------------------------------------------------


async def test_a_lost_answer_is_found_by_looking_up(world: World) -> None:
    vendor = world.vendor("payvalida")
    reference = vendor.samples["cancellable"]
    card = await world.asked("alice", "payvalida", reference)
    vendor.fail_next(Fault.LOSE_ANSWER)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "outcome unknown, checking")
    await world.reads(card, "Outcome: cancelled")
    assert vendor.sends == [reference]


async def test_a_call_that_never_took_effect_is_sent_once_more(world: World) -> None:
    vendor = world.vendor("payvalida")
    reference = vendor.samples["cancellable"]
    card = await world.asked("alice", "payvalida", reference)
    vendor.fail_next(Fault.DROP)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: cancelled", timeout=30)
    assert vendor.sends == [reference, reference]
    assert vendor.performed == [reference]


async def test_a_provider_that_says_no_is_quoted(world: World) -> None:
    vendor = world.vendor("tradernet")
    card = await world.asked("alice", "tradernet", vendor.samples["desk_only"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "refused by the provider")
    assert len(vendor.sends) == 1


async def test_an_order_executed_before_the_cancel_arrived_is_said_so(world: World) -> None:
    vendor = world.vendor("tradernet")
    card = await world.asked("alice", "tradernet", vendor.samples["executed_instead"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "refused by the provider")


async def test_an_issued_certificate_waits_for_the_e_mail_approval(world: World) -> None:
    vendor = world.vendor("servertastic")
    card = await world.asked("alice", "servertastic", vendor.samples["issued"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    waiting = await world.reads(card, "accepted by the provider, not yet confirmed")
    assert "e-mail" in waiting.readable
    assert world.decisions(waiting) == []


async def test_a_cancel_error_calls_a_person_at_once(world: World) -> None:
    vendor = world.vendor("tradernet")
    card = await world.asked("alice", "tradernet", vendor.samples["stuck"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    alarm = await world.reads(card, "needs a person")
    assert "MAY STILL BE LIVE" in alarm.readable
    assert len(vendor.sends) == 1


async def test_a_pasted_token_is_never_shown(world: World) -> None:
    vendor = world.vendor("servertastic")
    token = vendor.samples["cancellable"]
    card = await world.asked("alice", "servertastic", token)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: cancelled")
    everything = [call.args for call in world.workspace.calls if call.method.startswith("chat.")]
    assert everything
    assert token not in repr(everything)
    await world.stop_bot()
    assert token.encode() not in stored(world)
    assert b"servertastic" in stored(world)


async def test_a_denial_that_repeats_a_secret_reference_is_turned_back(world: World) -> None:
    token = world.vendor("servertastic").samples["cancellable"]
    card = await world.asked("alice", "servertastic", token)
    carol = world.person("carol")
    await carol.click(world.card(card), "Deny")
    form = await carol.modal()
    form.fill({"Reason": f"{token} is still needed"})
    assert "token or key" in (await form.submit()).errors["Reason"]
    assert "Approve cancellation" in world.card(card).buttons


# --- typing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["xoxb-123456789012-abcdefghij", "api_key=0123456789abcdef"])
async def test_a_secret_in_the_reason_is_turned_back(world: World, secret: str) -> None:
    person = world.person("alice")
    reference = world.vendor("digicert").samples["cancellable"]
    await person.command("/cancel-order", f"digicert {reference}")
    form = await person.modal()
    form.fill({"Reason": f"use {secret} for it"})
    sent = await form.submit()
    assert "token or key" in sent.errors["Reason"]
    assert world.cards == []


async def test_a_mistyped_provider_is_taken_for_the_nearest_one_and_the_form_says_so(world: World) -> None:
    alice = world.person("alice")
    await alice.command("/cancel-order", "digicrt 123456 typo")
    assert "digicrt was taken for DigiCert" in (await alice.modal()).readable
    assert world.cards == []


@pytest.mark.parametrize(
    "reference", ["..", "a/b", "12345\uff16", "1_000", "%2e%2e", "123456 ", "0123456x", "<!channel>"]
)
async def test_a_reference_of_the_wrong_form_is_explained_in_the_form(world: World, reference: str) -> None:
    person = world.person("alice")
    await person.command("/cancel-order", "digicert")
    form = await person.modal()
    form.fill({"Order ID": reference, "Reason": "typo"})
    sent = await form.submit()
    if reference.strip().isascii() and reference.strip().isdigit():
        assert sent.ok, "spaces around a reference are not part of it"
        return
    assert not sent.ok
    assert "123456" in " ".join(sent.errors.values()) or "digits" in " ".join(sent.errors.values())
    assert world.cards == []
    assert all(not vendor.seen for vendor in world.town.vendors.values())


async def test_the_form_changes_with_the_provider_and_keeps_what_was_typed(world: World) -> None:
    person = world.person("alice")
    await person.command("/cancel-order")
    form = await person.modal()
    form.fill({"Reason": "typo"})
    await form.fill({"Provider": "Payvalida"})
    assert "Order number" in form.text
    form.fill({"Order number": world.vendor("payvalida").samples["cancellable"]})
    assert (await form.submit()).ok
    card = await world.workspace.wait_until(lambda: world.cards[-1])
    assert "typo" in card.readable


async def test_a_second_request_for_the_same_order_is_shown_the_first_instead(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    await world.asked("alice", "digicert", reference)
    dan = world.person("dan")
    await dan.command("/cancel-order", f"digicert {reference} me too")
    form = await dan.modal()
    assert (await form.submit()).ok
    assert "being dealt with already" in (await dan.modal()).readable
    assert len(world.cards) == 1
    assert len(events(world, "requested")) == 1


async def test_a_form_sent_by_four_people_at_once_is_one_request(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    forms = []
    for who in ("alice", "bob", "carol", "dan"):
        person = world.person(who)
        await person.command("/cancel-order", f"digicert {reference} race")
        forms.append(await person.modal())
    results = await asyncio.gather(*(form.submit() for form in forms))
    assert all(result.ok for result in results), "three of them are shown the request of the fourth"
    await world.workspace.wait_until(lambda: world.cards)
    assert len(events(world, "requested")) == len(world.cards) == 1


async def test_a_provider_that_is_not_configured_is_answered_privately(quiet_world: World) -> None:
    world = quiet_world
    environment = world.environment()
    gone = [name for name in environment if name.startswith("DIGICERT_")]
    world.without = tuple(gone)
    await world.start_bot()
    answer = await world.person("alice").command("/cancel-order", "digicert 123456 typo")
    assert "digicert" in answer.text.lower()
    assert world.cards == []


async def test_the_verbs_answer(world: World) -> None:
    reference = world.vendor("digicert").samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    alice = world.person("alice")
    request_id = card.readable.rpartition("Request ")[2].split()[0].strip("`")
    for text, expected in [
        ("help", "digicert"),
        ("mine", reference),
        ("pending", reference),
        ("history", "requests that ended"),
        (f"status {request_id}", reference),
        ("status nonsense", "no request"),
        ("status", "which one?"),
        ("statsu 1234", "did you mean `status"),
        (f"withdraw {request_id}", "withdrawn"),
    ]:
        answer = await alice.command("/cancel-order", text)
        assert answer.ok, text
        assert expected.lower() in answer.text.lower(), text
