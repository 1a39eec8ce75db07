"""What an approver can do on a phone at three in the morning: see, ask, approve, take it back, deny."""

from __future__ import annotations

from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.conftest import World


async def details(world: World, who: str, card: Message) -> str:
    """What *Details* shows this person now."""
    person = world.person(who)
    await person.click(world.card(card), "Details")
    modal = await person.modal()
    return modal.readable


# --- details ------------------------------------------------------------------------------------------


async def test_details_have_everything_and_change_with_the_request(world: World) -> None:
    vendor = world.vendor("digicert")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"], "ordered twice " * 20)
    seen = await details(world, "bob", card)
    assert "waiting for approval" in seen
    assert ("ordered twice " * 20).strip() in seen
    assert "Who may approve or deny: @oncall" in seen
    assert "Not the certificate ID" in seen
    assert "Approved by: nobody." in seen
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: cancelled")
    seen = await details(world, "alice", card)
    assert "Outcome: cancelled" in seen
    assert "Approved by: @Bob (" in seen


async def test_details_are_for_the_workspace(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    await world.person("eve").click(world.card(card), "Details")
    await world.said("eve", "Only members of the workspace")
    assert world.person("eve").modal_now is None


# --- taking an approval back --------------------------------------------------------------------------

BACK = "Take back my approval"


async def test_an_approval_is_taken_back_and_given_again(world: World) -> None:
    vendor = world.vendor("digicert")
    reference = vendor.samples["cancellable"]
    card = await world.asked("alice", "digicert", reference)
    assert BACK not in world.card(card).buttons
    await world.approve("bob", card)
    await world.reads(card, "1 more needed")
    await world.person("carol").click(world.card(card), BACK)
    await world.said("carol", "You have not approved this request")
    await world.person("bob").click(world.card(card), BACK)
    await world.reads(card, "Approved so far: nobody. 2 needed")
    await world.reads_in_thread(card, "@Bob took the approval back. Now 0 of 2. 2 approvals still needed.")
    assert BACK not in world.card(card).buttons
    await world.approve("carol", card)
    await world.reads(card, "1 more needed")
    assert vendor.sends == []
    await world.approve("bob", card)
    await world.reads(card, "Outcome: cancelled")
    assert vendor.sends == [reference]


async def test_an_approval_is_taken_back_while_the_order_is_looked_up_for_the_last_time(
    quiet_world: World,
) -> None:
    world, vendor = quiet_world, quiet_world.vendor("digicert")
    await world.start_bot(PROVIDER_TIMEOUT="8s", RECONCILE_AFTER="9s")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    await world.approve("bob", card)
    vendor.fail_next(Fault.HANG, on="read")  # the look-up before the permit
    await world.approve("carol", card)
    await world.reads(card, "Approved by")
    await world.person("bob").click(world.card(card), BACK)
    await world.reads(card, "1 more needed")
    vendor.release()
    await world.person("carol").click(world.card(card), BACK)
    await world.reads(card, "2 needed")
    assert vendor.sends == []


async def test_it_is_too_late_to_take_an_approval_back_once_the_cancel_has_left(quiet_world: World) -> None:
    world, vendor = quiet_world, quiet_world.vendor("digicert")
    await world.start_bot(PROVIDER_TIMEOUT="8s", RECONCILE_AFTER="9s")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    await world.approve("bob", card)
    shown = (await world.reads(card, "1 more needed")).snapshot()
    vendor.fail_next(Fault.HANG)
    await world.approve("carol", card)
    await vendor.wait_until(lambda: len(vendor.sends) == 1)
    await world.person("bob").click(shown, BACK)
    await world.said("bob", "It is too late to take an approval back: it is being cancelled right now.")
    vendor.release()


# --- denying ------------------------------------------------------------------------------------------


async def test_a_denial_is_two_taps(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    carol = world.person("carol")
    await carol.click(world.card(card), "Deny")
    form = await carol.modal()
    form.fill({"What is wrong with it?": "Something else"})
    nothing_said = await form.submit()
    assert nothing_said.errors == {"Reason": "Choose a reason above, or say here what is wrong."}
    form.fill({"What is wrong with it?": "Too late to be useful"})
    assert (await form.submit()).ok
    denied = await world.reads(card, "Outcome: denied")
    assert "Carol denied it:\n> Too late to be useful" in denied.readable


async def test_nothing_is_chosen_for_whoever_denies_and_words_alone_are_enough(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    carol = world.person("carol")
    await carol.click(world.card(card), "Deny")
    form = await carol.modal()
    assert form.values["What is wrong with it?"] in (None, "")
    assert (await form.submit()).errors == {"Reason": "Choose a reason above, or say here what is wrong."}
    form.fill({"Reason": "It is renewed tomorrow."})
    assert (await form.submit()).ok
    denied = await world.reads(card, "Outcome: denied")
    assert "Carol denied it:\n> It is renewed tomorrow." in denied.readable


async def test_a_second_click_is_told_how_many_more_people_are_needed(quiet_world: World) -> None:
    await quiet_world.start_bot(APPROVALS_REQUIRED="3")
    reference = quiet_world.vendor("digicert").samples["cancellable"]
    card = await quiet_world.asked("alice", "digicert", reference)
    for _ in range(2):
        await quiet_world.approve("bob", card)
    await quiet_world.said("bob", "You approved already; it counts once. 2 more people are needed.")


# --- asking first -------------------------------------------------------------------------------------


async def question(world: World, who: str, card: Message, text: str) -> None:
    person = world.person(who)
    await person.click(world.card(card), "Ask a question")
    form = await person.modal()
    assert "expires" in form.readable
    form.fill({"Question": text})
    sent = await form.submit()
    assert sent.ok, sent.errors


async def test_a_question_goes_to_the_requester_and_the_clock_keeps_running(world: World) -> None:
    vendor = world.vendor("digicert")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    await world.approve("bob", card)
    await world.reads(card, "1 more needed")
    await question(world, "carol", card, "Is the <!channel> shop still using it?")
    asked = await world.reads_in_thread(card, "@Alice, @Carol asks:")
    assert "Is the <!channel> shop still using it?" in asked.readable
    assert "Please answer here in the thread" in asked.readable
    assert "can still be approved until" in asked.readable
    await world.reads(card, "1 question in the thread")
    assert "Is the <!channel> shop still using it?" in await details(world, "dan", card)
    await world.approve("carol", card)
    await world.reads(card, "Outcome: cancelled")


async def test_only_somebody_who_could_decide_is_offered_the_question(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    for who, why in (("gina", "not on the list"), ("alice", "This is your own request")):
        await world.person(who).click(world.card(card), "Ask a question")
        await world.said(who, why)
        assert world.person(who).modal_now is None


async def test_a_question_never_shows_a_key(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    bob = world.person("bob")
    await bob.click(world.card(card), "Ask a question")
    form = await bob.modal()
    form.fill({"Question": "Is it xoxb-123456789012-abcdefghij?"})
    assert "token or key" in (await form.submit()).errors["Question"]


# --- clicks that do not count -------------------------------------------------------------------------


async def test_whoever_may_not_is_told_why_and_who_may(world: World) -> None:
    card = await world.asked("bob", "digicert", world.vendor("digicert").samples["cancellable"])
    await world.approve("alice", card)
    told = await world.said("alice", "not on the list of approvers")
    assert told.readable.endswith("Your click changed nothing. Those who may approve or deny: @oncall.")
    await world.approve("bob", card)
    told = await world.said("bob", "You asked for this cancellation")
    assert "Those who may approve or deny: @oncall." in told.readable
    await world.person("carol").click(world.card(card), "Withdraw")
    told = await world.said("carol", "Only the person who asked can withdraw")
    assert told.readable.endswith("@Bob asked; @oncall may approve or deny.")


async def test_nobody_outside_learns_who_may(world: World) -> None:
    card = await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])
    await world.approve("eve", card)
    told = await world.said("eve", "Only members of the workspace")
    assert "oncall" not in told.readable
