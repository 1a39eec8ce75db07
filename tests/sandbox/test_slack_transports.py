"""One small bot, the same over Socket Mode and signed HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from sandbox.slack.fields import REQUIRED, CannotFill
from sandbox.slack.person import NoSuchButton
from tests.sandbox.tiny_bot import Running, start


@pytest.fixture(params=["socket", "http"])
async def bot(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        running = await start(stack, request.param)
        yield running
        assert running.workspace.problems == []


async def asked(bot: Running, why: str = "it broke") -> None:
    alice = bot.workspace.person("alice")
    assert (await alice.command("/ask")).ok
    form = await alice.modal()
    form.fill({"Kind": "Order", "Order ID": "42", "Why": why})
    assert (await form.submit()).closed
    await bot.workspace.wait_until(lambda: bot.workspace.channel("C0APPROVALS").messages)


async def test_a_command_may_answer_at_once(bot: Running) -> None:
    alice = bot.workspace.person("alice")
    ack = await alice.command("/ask", "help")
    assert (ack.ok, ack.status, ack.text) == (True, "ok", "Type /ask.")
    assert [m.text for m in alice.ephemerals("C0ORDERS")] == ["Type /ask."]
    assert bot.workspace.person("bob").ephemerals() == []


async def test_a_form_becomes_a_card(bot: Running) -> None:
    await asked(bot)
    card = bot.workspace.channel("C0APPROVALS").messages[0]
    assert card.text == "<@U0ALICE> asks: it broke"
    assert card.readable == "Asked: it broke\n[Yes, please]"
    assert card.buttons == ["Yes, please"]


async def test_the_form_shows_what_is_wrong_and_stays(bot: Running) -> None:
    alice = bot.workspace.person("alice")
    await alice.command("/ask")
    form = await alice.modal()
    assert (form.title, form.labels) == ("Ask", ["Kind", "Why"])
    assert (await form.submit()).errors == {"Kind": REQUIRED, "Why": REQUIRED}
    await form.fill({"Kind": "refund", "Refund ID": "7", "Why": "because"})
    assert form.values == {"Kind": "Refund", "Refund ID": "7", "Why": "because"}
    result = await form.submit()
    assert (result.ok, result.errors, result.closed) == (False, {"Why": "That is no reason."}, False)
    assert "That is no reason." in form.text
    assert form.is_open
    await form.close()
    assert not form.is_open


async def test_only_what_is_offered_can_be_chosen(bot: Running) -> None:
    alice = bot.workspace.person("alice")
    await alice.shortcut("ask")
    form = await alice.modal()
    with pytest.raises(CannotFill, match="no field"):
        form.fill({"Colour": "red"})
    await alice.command("/ask")
    form = await bot.workspace.wait_until(lambda: alice.modal_now)
    with pytest.raises(CannotFill, match="no option"):
        await form.fill({"Kind": "Elephant"})


async def test_a_click_edits_the_card_and_answers_in_the_thread(bot: Running) -> None:
    await asked(bot)
    bob, card = bot.workspace.person("bob"), bot.workspace.channel("C0APPROVALS").messages[0]
    before = card.snapshot()
    assert (await bob.click(card, "Yes")).ok
    thanks = await bob.wait_for_ephemeral(lambda m: "Thank" in m.text)
    assert thanks.channel == "C0APPROVALS"
    assert (card.edited_count, card.buttons, card.history[0].buttons) == (1, [], ["Yes, please"])
    assert [m.readable for m in card.thread] == ["@Bob said yes."]
    assert bot.workspace.transcript("C0APPROVALS") == (
        "== #approvals ==\n"
        "tiny (edited 1x):\n"
        "  Asked: it broke\n"
        "    tiny:\n"
        "      @Bob said yes.\n"
        "tiny (only Bob sees this):\n"
        "  Thank you."
    )
    with pytest.raises(NoSuchButton):
        await bob.click(card, "Yes")
    assert (await bob.click(before, "Yes")).ok  # still on an old screen
    await bot.workspace.wait_until(lambda: len(bob.ephemerals()) == 2)


async def test_a_confirm_dialog_can_be_declined(bot: Running) -> None:
    await asked(bot)
    card = bot.workspace.channel("C0APPROVALS").messages[0]
    calls = len(bot.workspace.calls)
    assert (await bot.workspace.person("bob").click(card, "Yes", confirm=False)).error == "not_confirmed"
    assert len(bot.workspace.calls) == calls


async def test_a_message_shortcut_brings_the_message(bot: Running) -> None:
    bob = bot.workspace.person("bob")
    message = await bob.say("#orders", "order 42 <is> broken")
    assert message.readable == "order 42 <is> broken"
    assert (await bob.message_shortcut("ask_this", message)).ok
    assert (await bob.modal()).values == {"Why": "order 42 &lt;is&gt; broken"}


async def test_home_mentions_and_direct_messages(bot: Running) -> None:
    bob = bot.workspace.person("bob")
    assert (await bob.open_home()).text == "Hello"
    await bob.say("#orders", "@tiny are you there?")
    await bot.workspace.wait_until(bob.dms)
    assert [m.text for m in bob.dms()] == ["You called?"]
