"""What the channel knows and the database lacks, told to the operator who has to decide about it."""

from __future__ import annotations

from collections.abc import Sequence

from bot.anchors import Anchor
from bot.blocks.words import word
from bot.model import State
from bot.settings import Settings
from bot.slack import Slack
from bot.store import Unit
from bot.witness import read_anchors

WARNING = (
    "Look at each of these orders at the provider before you go on. What was executed after this copy of",
    "the database was made may be executed again: the bot has forgotten it, and asks the same people anew.",
)
NOTHING = "The channel knows of nothing that this database lacks. There is nothing to acknowledge."
HOW = "Nothing was written. To go on with this database: python -m bot audit acknowledge --yes"
DONE = "It is acknowledged. A running bot goes on within some minutes."


async def ask_channels(settings: Settings) -> list[Anchor]:
    """What the channels of all accounts know. Raises `SlackProblem` if one cannot be read."""
    channels = dict.fromkeys(account.channel or settings.approval_channel for account in settings.accounts)
    slack = Slack(settings.slack_bot_token.get_secret_value(), settings.slack_api_url)
    try:
        return await read_anchors(slack, channels)
    finally:
        await slack.close()


def report(unit: Unit, lacking: Sequence[Anchor]) -> list[str]:
    """What is lacking, newest first, a line each."""
    head = unit.head()
    return [
        f"This database ends at event {head.seq}, {head.hash}.",
        "The channel knows of outcomes that came after it, or in another database:",
        *(_line(unit, anchor) for anchor in lacking),
        *WARNING,
    ]


def _line(unit: Unit, anchor: Anchor) -> str:
    request = unit.request(anchor.request_id)
    here = "not in this database" if request is None else f"here: {word(request.state)}"
    states = [state for state in State if state.value == anchor.state]
    said = word(states[0]) if states else anchor.state
    return (
        f"  event {anchor.head.seq}, {anchor.head.hash}: request {anchor.request_id[:8]}, {said} "
        f"({here}); its card was posted {anchor.posted_at:%Y-%m-%d %H:%M} UTC"
    )
