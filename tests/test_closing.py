"""What only people can find out: two of them close it, with evidence, and nobody alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from bot import cli
from sandbox.slack.forms import SubmitResult, ViewHandle
from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.conftest import World

CLOSE = "Close with what you found"
OTHER = "I found something else"
CANCELLED = "cancelled at the provider"
NOT_CANCELLED = "not cancelled, still as it was"
SEEN = "The order list in the portal, seen at 09:40."


async def stuck(world: World) -> Message:
    """A card that needs a person, because the market said that its cancel went wrong."""
    vendor = world.vendor("tradernet")
    card = await world.asked("alice", "tradernet", vendor.samples["stuck"])
    return await approved(world, card)


async def never_answered(world: World, provider: str) -> Message:
    """A card that needs a person, because no look-up ever told what became of the cancel."""
    vendor = world.vendor(provider)
    reference = vendor.samples["cancellable"]
    card = await world.asked("alice", provider, reference)
    vendor.fail_next(Fault.DROP)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await vendor.wait_until(lambda: len(vendor.sends) == 1)
    vendor.fail_next(Fault.SERVER_ERROR, on="read", times=1000)
    await world.reads(card, "outcome unknown, checking")
    return await needs_person(world, card)


async def approved(world: World, card: Message) -> Message:
    for who in ("bob", "carol"):
        await world.approve(who, card)
    return await needs_person(world, card)


async def needs_person(world: World, card: Message) -> Message:
    await world.reads(card, "Now: needs a person", timeout=30)
    return await world.workspace.wait_until(lambda: now if (now := world.card(card)).buttons else None)


async def form_of(world: World, who: str, card: Message, button: str) -> ViewHandle:
    person = world.person(who)
    await person.click(card, button)
    return await person.modal()


async def says(form: ViewHandle, what: str, evidence: str = SEEN) -> SubmitResult:
    form.fill({"What you found": what, "Evidence": evidence})
    return await form.submit()


async def found(world: World, who: str, card: Message, what: str, evidence: str = SEEN) -> Message:
    """Somebody says what they found; the card as it is when it asks for the confirmation."""
    button = next(b for b in world.card(card).buttons if b in {CLOSE, OTHER})
    sent = await says(await form_of(world, who, world.card(card), button), what, evidence)
    assert sent.ok, sent.errors
    return await world.workspace.wait_until(
        lambda: now if f"Confirm: {what}" in (now := world.card(card)).buttons else None
    )


@pytest.fixture
def shown(
    quiet_world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """The request of a card as the command line shows it."""
    monkeypatch.setenv("DATABASE_URL", quiet_world.database)

    def show(card: Message, *options: str) -> str:
        request_id = quiet_world.card(card).readable.rpartition("Request ")[2].split()[0]
        capsys.readouterr()  # the bot's own log until now
        with pytest.raises(SystemExit) as ended:
            cli.main(["requests", "show", request_id, *options])
        assert not ended.value.code
        return capsys.readouterr().out

    return show


def thread(world: World, card: Message, text: str) -> list[Message]:
    return [reply for reply in world.card(card).thread if text in reply.readable]


async def test_two_people_close_what_nobody_could_find_out_and_the_order_is_free_again(
    quiet_world: World, shown: Callable[..., str]
) -> None:
    world, vendor = quiet_world, quiet_world.vendor("payvalida")
    await world.start_bot(RECONCILE_FOR="3s")
    reference = vendor.samples["cancellable"]
    card = await never_answered(world, "payvalida")
    assert "the order may or may not be cancelled" in card.readable
    assert "It takes two people" in card.readable
    assert world.decisions(card) == [CLOSE]
    call = await world.workspace.wait_until(lambda: thread(world, card, "Now: needs a person")[0])
    assert call.readable.startswith("@oncall ")
    await world.workspace.wait_until(lambda: "needs a person" in world.person("alice").dms()[-1].text)

    await world.person("alice").click(card, CLOSE)
    await world.said("alice", "two other people have to close it")
    asked = await found(world, "bob", card, NOT_CANCELLED, "Open in the list <!channel>")
    assert "looked at the order and said" in asked.readable
    assert "in the list <!channel>" in asked.readable

    await world.stop_bot()
    await world.start_bot(RECONCILE_FOR="3s")
    for who, words in (
        ("bob", "somebody else has to confirm it"),
        ("alice", "two other people have to close it"),
        ("gina", "not on the list"),
    ):
        await world.person(who).click(world.card(card), "Confirm")
        await world.said(who, words)
    dan = world.person("dan")
    await dan.command("/cancel-order", f"payvalida {reference} once more")
    await (await dan.modal()).submit()
    told = await dan.modal()
    assert "is being dealt with already" in told.readable
    await told.close()

    await world.person("carol").click(world.card(card), "Confirm")
    closed = await world.reads(card, f"Outcome: needs a person, closed: people found it {NOT_CANCELLED}")
    assert "This is what people found; Payvalida has not confirmed it to the bot." in closed.readable
    assert world.decisions(closed) == []
    await world.workspace.wait_until(lambda: thread(world, card, "Outcome: needs a person, closed"))
    dm = await world.workspace.wait_until(
        lambda: next(m for m in world.person("alice").dms() if "closed" in m.text)
    )
    assert f"people found it {NOT_CANCELLED}" in dm.text
    assert vendor.sends == [reference]

    for line in (
        f"Outcome    needs a person, closed: people found it {NOT_CANCELLED}",
        f"Found      U0BOB: {NOT_CANCELLED}: Open in the list <!channel>",
        "Confirmed  U0CAROL",
    ):
        assert line in shown(card).splitlines()
    told = json.loads(shown(card, "--json"))
    assert told["word"] == f"needs a person, closed: people found it {NOT_CANCELLED}"
    events = [event for event in told["events"] if event["kind"] in {"closing_proposed", "closed"}]
    assert [(event["kind"], event["by"]["user"]) for event in events] == [
        ("closing_proposed", "U0BOB"),
        ("closed", "U0CAROL"),
    ]
    rules = [event["rule"] for event in told["events"] if event["kind"] == "attempt_refused"]
    assert rules == ["own_finding", "own_request", "not_approver"]

    vendor.stop_failing()
    again = await world.asked("alice", "payvalida", reference)
    for who in ("bob", "carol"):
        await world.approve(who, again)
    await world.reads(again, "Outcome: cancelled")
    assert vendor.performed == [reference]


async def test_who_found_something_else_says_so_and_only_that_can_be_confirmed(world: World) -> None:
    card = await stuck(world)
    first = (await found(world, "bob", card, NOT_CANCELLED)).snapshot()
    late = await form_of(world, "dan", first, OTHER)
    second = await found(world, "carol", card, CANCELLED)
    assert f"Confirm: {NOT_CANCELLED}" not in second.buttons

    too_late = await says(late, NOT_CANCELLED)
    assert "said meanwhile what they found" in too_late.errors["Evidence"]
    await world.person("dan").click(first, "Confirm")
    await world.said("dan", "This card is out of date")
    await world.person("carol").click(world.card(card), "Confirm")
    await world.said("carol", "somebody else has to confirm it")
    assert world.card(card).buttons == second.buttons

    await world.person("bob").click(world.card(card), "Confirm")
    await world.reads(card, f"closed: people found it {CANCELLED}")


async def test_two_confirmations_in_the_same_instant_are_one(world: World, shown: Callable[..., str]) -> None:
    card = await stuck(world)
    asked = (await found(world, "bob", card, CANCELLED)).snapshot()
    await asyncio.gather(*(world.person(who).click(asked, "Confirm") for who in ("carol", "dan", "carol")))
    await world.reads(card, "needs a person, closed")
    kinds = [event["kind"] for event in json.loads(shown(card, "--json"))["events"]]
    assert kinds.count("closed") == 1


@pytest.mark.parametrize("button", ["Confirm", "I found something else"])
async def test_a_copy_of_the_card_closes_nothing(world: World, button: str) -> None:
    card = await stuck(world)
    asked = await found(world, "bob", card, CANCELLED)
    copy = world.workspace.post(
        world.workspace.channel("C0ORDERS"),
        world.workspace.bot_user,
        asked.text,
        blocks=asked.blocks,
        by_app=True,
    )
    await world.person("carol").click(copy, button)
    await world.said("carol", "not the current card")
    assert "Now: needs a person" in world.card(card).readable


async def test_a_finding_without_evidence_is_none(world: World) -> None:
    card = await stuck(world)
    form = await form_of(world, "bob", card, CLOSE)
    assert not (await says(form, CANCELLED, "")).ok
    blank = await says(form, CANCELLED, "   ")
    assert "Say where you looked" in blank.errors["Evidence"]
    assert world.decisions(card) == [CLOSE]


async def test_evidence_never_shows_a_key_or_a_secret_reference(quiet_world: World) -> None:
    world, vendor = quiet_world, quiet_world.vendor("servertastic")
    await world.start_bot(RECONCILE_FOR="3s")
    card = await never_answered(world, "servertastic")
    token = vendor.samples["cancellable"]
    form = await form_of(world, "bob", card, CLOSE)
    for secret in (token, f"({token}).", f"token={token}", "xoxb-123456789012-abcdefghij"):
        turned_back = await says(form, CANCELLED, f"I looked for {secret} in the list")
        assert "token or key" in turned_back.errors["Evidence"]
    assert (await says(form, CANCELLED, "I looked for the order of Monday in the list")).ok
    everything = [call.args for call in world.workspace.calls if call.method.startswith("chat.")]
    assert token not in repr(everything)


async def test_people_are_reminded_until_it_is_closed(quiet_world: World) -> None:
    world = quiet_world
    await world.start_bot(REMIND_AFTER="1s")
    card = await stuck(world)
    reminder = await world.workspace.wait_until(lambda: thread(world, card, "needs a person. Look at it")[0])
    assert reminder.readable.startswith("@oncall ")
    await found(world, "bob", card, CANCELLED)
    await world.workspace.wait_until(lambda: thread(world, card, f"found: {CANCELLED}. Somebody else"), 15)
    await world.person("carol").click(world.card(card), "Confirm")
    await world.reads(card, "needs a person, closed")
