"""What is said about a pause, on the cards that wait for its end and in the channel."""

from __future__ import annotations

import re

from bot.blocks.ids import COMMAND
from bot.blocks.text import code, literal, mention, sentence, when
from bot.model import Pause, Request, State
from providers.contract import Facts

GOES_ON = "It goes on when somebody resumes it:"
_USER = re.compile(r"[UW][A-Z0-9]{1,20}", re.ASCII)
_WHY = re.compile(
    rf"(Cancelling at .+ is paused: .+) {GOES_ON} ({COMMAND} resume(?: [a-z0-9_-]+)?)", re.ASCII | re.DOTALL
)
"""What `why` says, so that a request that is on hold can be told from its words."""


def where(facts: Facts | None) -> str:
    """ "at cPanel", or "at all providers"."""
    return f"at {facts.label}" if facts else "at all providers"


def why(pause: Pause, facts: Facts | None) -> str:
    """One sentence of plain text: for a request on hold, `/readyz` and the command line."""
    return f"Cancelling {where(facts)} is paused: {sentence(pause.reason)} {GOES_ON} {_resume(facts)}"


def on_hold(held: str) -> str:
    """Why a request is on hold, as markup that ends a sentence; a command in it can be copied."""
    paused = _WHY.fullmatch(held)
    if paused is None:
        return sentence(literal(held))
    return f"{sentence(literal(paused[1]))} {GOES_ON} {code(paused[2])}."


def waits_for_a_resume(request: Request) -> bool:
    """Whether enough people agree and only a pause is in the way: one more approval would change nothing."""
    held = request.state is State.APPROVED and _WHY.fullmatch(request.held)
    return bool(held) and len(request.counted) >= request.quorum


def began(pause: Pause, facts: Facts | None) -> str:
    """The announcement in the channel."""
    return (
        f"*Cancelling {literal(where(facts))} is paused*, by {_who(pause.by)}: "
        f"{sentence(literal(pause.reason, 600))} Requests are still taken and approved, and wait on "
        f"hold; those that were sent are still looked up. An approver can end this: {code(_resume(facts))}."
    )


def in_force(pause: Pause, facts: Facts | None) -> str:
    """A pause on somebody's App Home."""
    return (
        f":double_vertical_bar: *Cancelling {literal(where(facts))} is paused*, by {_who(pause.by)}: "
        f"{sentence(literal(pause.reason))} An approver can end this: {code(_resume(facts))}."
    )


def already(pause: Pause, facts: Facts | None) -> str:
    """The answer to somebody who pauses once more."""
    return (
        f"Cancelling {literal(where(facts))} is paused already, since {when(pause.since)} by "
        f"{_who(pause.by)}: {sentence(literal(pause.reason, 600))}"
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
