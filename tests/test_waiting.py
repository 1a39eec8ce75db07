"""A request that nobody looks at: reminded, brought before others, announced to end, ended."""

from __future__ import annotations

from datetime import timedelta

from sandbox.slack.model import Message
from tests.conftest import World
from tests.test_asynchronous import Clock, later

HOUR = timedelta(hours=1)
SECOND_LINE = {"ESCALATE_AFTER": "2h", "ESCALATE_TO": "U0DAN", "REMIND_AFTER": "0", "REQUEST_TTL": "12h"}


def mentions(message: Message, *names: str) -> bool:
    return message.readable.startswith(" ".join(f"@{name}" for name in names) + " ")


async def waiting(world: World, clock: Clock, **settings: str) -> Message:
    """A card that Bob and Carol may decide on, and later Dan."""
    world.workspace.set_group("S0ONCALL", ["U0BOB", "U0CAROL"])
    await world.start_bot(clock=clock, **(SECOND_LINE | settings))
    return await world.asked("alice", "digicert", world.vendor("digicert").samples["cancellable"])


def replies(world: World, card: Message, text: str) -> list[Message]:
    return [reply for reply in world.card(card).thread if text in reply.readable]


async def test_a_second_line_is_called_once_and_may_decide_from_then_on(quiet_world: World) -> None:
    world, clock = quiet_world, Clock()
    card = await waiting(world, clock)
    await world.approve("dan", card)
    await world.said("dan", "not on the list of approvers")
    assert "may decide too" not in world.card(card).readable

    await later(world, clock, 2 * HOUR)
    call = await world.reads_in_thread(card, "From now on you may approve or deny it too")
    assert mentions(call, "Dan")
    await world.reads(card, "@Dan may decide too.")
    await later(world, clock, HOUR)
    clock.ahead = timedelta(0)  # nothing is sent by a clock that is wrong
    await world.approve("dan", card)
    await world.reads(card, "1 more needed")
    await world.approve("bob", card)
    await world.reads(card, "Outcome: cancelled")
    assert len(replies(world, card, "You are called")) == 1


async def test_whoever_is_called_later_may_end_it_as_well(quiet_world: World) -> None:
    world, clock = quiet_world, Clock()
    card = await waiting(world, clock)
    await later(world, clock, 2 * HOUR)
    await world.reads(card, "@Dan may decide too.")
    dan = world.person("dan")
    await dan.click(world.card(card), "Deny")
    form = await dan.modal()
    form.fill({"Reason": "not tonight"})
    assert (await form.submit()).ok
    await world.reads(card, "Outcome: denied")


async def test_nobody_else_is_called_for_what_is_decided(quiet_world: World) -> None:
    world, clock = quiet_world, Clock()
    card = await waiting(world, clock)
    await world.person("alice").click(world.card(card), "Withdraw")
    await world.reads(card, "Outcome: withdrawn")
    await later(world, clock, 2 * HOUR)
    still = await world.asked("alice", "digicert", world.vendor("digicert").samples["another"])
    await later(world, clock, 2 * HOUR)
    await world.reads_in_thread(still, "You are called")
    assert replies(world, card, "You are called") == []


async def test_an_end_is_announced_once_to_those_who_can_still_act(quiet_world: World) -> None:
    world, clock = quiet_world, Clock()
    card = await waiting(world, clock, ESCALATE_AFTER="11h")
    await world.approve("bob", card)
    await world.reads(card, "1 more needed")
    await later(world, clock, 9 * HOUR)
    assert replies(world, card, "After that it has to be asked for anew") == []
    await later(world, clock, HOUR + timedelta(minutes=1))
    call = await world.reads_in_thread(card, "After that it has to be asked for anew")
    assert mentions(call, "oncall")
    assert "still needs 1 approval (1 of 2 so far)" in call.readable

    await later(world, clock, 2 * HOUR)
    ended = await world.reads(card, "Outcome: expired")
    assert (
        "What to do: if the order is still to be cancelled, ask again with /cancel-order." in ended.readable
    )
    assert len(replies(world, card, "After that it has to be asked for anew")) == 1
    assert world.vendor("digicert").sends == []
