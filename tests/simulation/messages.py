"""What was owed to Slack was posted, in order, once; and what is shown in the end is true."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bot.blocks.cards import approval_card
from bot.model import ENDED, OUTCOMES
from tests.simulation.schedule import Blow
from tests.simulation.slack import FACTS

if TYPE_CHECKING:
    from tests.simulation.slack import Message
    from tests.simulation.world import World

NOTED_WITHIN = 60.0
"""Seconds after which a process has noted what Slack took, unless something befell it before."""
ON_ITS_WAY = 15.0
"""Seconds that a message may take to Slack, whatever becomes of its process meanwhile."""


def check_messages(world: World) -> None:
    rows = world.database.rows(
        "SELECT id, lane, kind, request_id, target, body, delivered FROM message ORDER BY id"
    )
    for lane in dict.fromkeys(row[1] for row in rows):
        _check_lane(world, [row for row in rows if row[1] == lane])
    for name, case in world.checks.cases.items():
        _check_card(world, name)
        told = [row for row in rows if row[3] == name and row[2] == "reply" and _outcome(row)]
        if len({_outcome(row) for row in told} & {s.value for s in ENDED}) != (case.state in ENDED):
            world.violated(f"the outcome of request {name[:8]} is not told once")


def _outcome(row: Any) -> str:
    return str(json.loads(row[5]).get("outcome") or "") if row[5] else ""


def _check_lane(world: World, rows: Sequence[Any]) -> None:
    """Replies and direct messages, word for word, in the order in which they were owed."""
    owed = [(row[4], json.loads(row[5])["text"]) for row in rows if row[2] in {"reply", "direct"}]
    target = owed[0][0] if owed else ""
    here = [m for m in world.workspace.messages.values() if m.channel == target and not m.about]
    about = rows[0][3]
    if rows[0][2] != "direct":
        here = [m for m in here if _thread_of(world, m) == about]
    arrived = [(m.channel, m.text) for m in here]
    position = -1
    copies: list[Message] = []
    for message, sent in zip(here, arrived, strict=True):
        if position + 1 < len(owed) and sent == owed[position + 1]:
            position, copies = position + 1, []
        elif position < 0 or sent != owed[position]:
            world.violated(f"{message.text!r} was posted out of order")
            return
        elif not _is_excused(world, copies):
            world.violated(f"{message.text!r} was posted twice without need")
        else:
            world.tally["a message was posted twice after a crash or a lost answer"] += 1
        copies.append(message)
    if position + 1 < len(owed):
        world.violated(f"{owed[position + 1][1]!r} was never posted")


def _thread_of(world: World, message: Message) -> str:
    card = world.workspace.messages.get(message.thread)
    case = world.checks.case(card.about) if card is not None and card.about else None
    return case.request_id if case is not None else ""


def _is_excused(world: World, messages: Sequence[Message]) -> bool:
    """Each of these had to be posted again: nobody knew that it had arrived, and it could not be found."""
    return all(_is_unknown(world, message) and _is_not_found(world, message) for message in messages)


def _is_unknown(world: World, message: Message) -> bool:
    return message.lost or _was_let_down(message) or bool(world.schedule.storage_away)


def _is_not_found(world: World, message: Message) -> bool:
    """It has no mark, or Slack could perhaps not be asked for it, or it was still on its way."""
    schedule = world.schedule
    cut = any(strike.blow is Blow.CUT for strike in schedule.strikes)
    return not message.mark or bool(schedule.slack_trouble or schedule.slack_away or schedule.steps or cut)


def _was_let_down(message: Message) -> bool:
    times = message.by.let_down_at if message.by else []
    return any(-ON_ITS_WAY <= at - message.at < NOTED_WITHIN for at in times)


def _check_card(world: World, name: str) -> None:
    """The card that counts shows the request as it is; every other one is there for a reason."""
    case = world.checks.cases[name]
    cards = [m for m in world.workspace.cards() if m.about == name[:8]]
    places = [row[1] for row in world.database.rows("SELECT request_id, ts FROM card") if row[0] == name]
    if len(places) != 1 or places[0] not in world.workspace.messages:
        world.violated(f"request {name[:8]} has no card")
        return
    shown = world.workspace.messages[places[0]]
    if shown.text != approval_card(case.request, FACTS).text:
        world.violated(f"the card of request {name[:8]} is out of date: {shown.text!r}")
    if case.state in OUTCOMES and shown.metadata["event_payload"].get("state") != case.state.value:
        world.violated(f"the card of request {name[:8]} does not carry its outcome")
    others = [card for card in cards if card is not shown]
    if others:
        world.tally["a card was posted twice after a crash or a lost answer"] += len(others)
    if not _is_excused(world, others):
        world.violated(f"request {name[:8]} has {len(cards)} cards without need")
