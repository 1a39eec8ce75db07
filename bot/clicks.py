"""What a click on a button says, and whether it counts: only on the card itself, where it was posted."""

from __future__ import annotations

from dataclasses import dataclass

from bot.batch.rules import LEFT_TO_PEOPLE, Batch
from bot.errors import Refused
from bot.model import Request
from bot.store import Unit


@dataclass(frozen=True, slots=True)
class Click:
    """A button: which request, which version of its card, and where that card is."""

    request_id: str
    digest: str
    channel: str
    ts: str
    ours: bool
    """Slack says that this app posted the message."""
    at_home: bool = False
    """It is no message, but the clicker's own App Home."""
    clicked: str = ""
    """When, by Slack's clock, such as "1763683200.000100"; empty where Slack does not say."""


def same_card(unit: Unit, request: Request | Batch, click: Click) -> None:
    """`must_be_its_card`, and from now on its place is known."""
    if must_be_its_card(unit, request, click):
        unit.set_card(request.id, click.channel, click.ts)


def must_be_its_card(unit: Unit, request: Request | Batch, click: Click) -> bool:
    """A click counts only on the card itself, where it was posted: raises `Refused` for any other. Returns
    whether that place was not written down yet."""
    if isinstance(request, Request) and request.batch and request.state not in LEFT_TO_PEOPLE:
        raise Refused("not_the_card", "This order is decided on together with others, on their common card.")
    card = unit.card(request.id)
    if click.at_home:
        return False  # nobody else sees it, and Slack vouches for whose it is
    if card is None and click.ours and click.channel == request.channel:
        return True  # posted, and the process died before it could write that down; Slack vouches for it
    if card is None or (card.channel, card.ts) != (click.channel, click.ts):
        raise Refused("not_the_card", "This is not the current card of the request. Use the newest one.")
    return False
