"""What is said about a pause, on the cards that wait for its end and in the channel."""

from __future__ import annotations

import re

from bot.blocks.text import code, literal, mention, sentence
from bot.model import Pause
from providers.contract import Facts

COMMAND = "/cancel-order"
_USER = re.compile(r"[UW][A-Z0-9]{1,20}", re.ASCII)


def where(facts: Facts | None) -> str:
    """ "at cPanel", or "at all providers"."""
    return f"at {facts.label}" if facts else "at all providers"


def why(pause: Pause, facts: Facts | None) -> str:
    """One sentence of plain text: for a request on hold, `/readyz` and the command line."""
    return (
        f"Cancelling {where(facts)} is paused: {sentence(pause.reason)} It goes on when somebody resumes it: "
        f"{_resume(facts)}"
    )


def began(pause: Pause, facts: Facts | None) -> str:
    """The announcement in the channel."""
    return (
        f"*Cancelling {literal(where(facts))} is paused*, by {_who(pause.by)}: "
        f"{sentence(literal(pause.reason, 600))} Requests are still taken and approved, and wait on "
        f"hold; those that were sent are still looked up. An approver can end this: {code(_resume(facts))}."
    )


def ended(by: str, facts: Facts | None, left: str = "") -> str:
    """The announcement that it goes on; `left`: what is paused still."""
    return f"*Cancelling {literal(where(facts))} goes on*, by {_who(by)}. {literal(left, 2000)}".rstrip()


def lost_answers(count: int, facts: Facts) -> str:
    """The reason of a pause that nobody asked for."""
    return (
        f"{count} outcomes in a row are unknown. Look whether {facts.label} works, and at these orders on "
        "its own pages, before it goes on"
    )


def _resume(facts: Facts | None) -> str:
    return f"{COMMAND} resume {facts.name}" if facts else f"{COMMAND} resume"


def _who(by: str) -> str:
    return mention(by) if _USER.fullmatch(by) else literal(by, 80)
