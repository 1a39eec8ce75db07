"""The private answer to somebody whose click did not count: why not, and who can do it."""

from __future__ import annotations

from collections.abc import Sequence

from bot.blocks.ids import COMMAND
from bot.blocks.text import code, mention
from bot.blocks.words import missing, named, people
from bot.model import BEFORE_PERMIT, Person, Request, State

OTHERS_MAY = frozenset({"own_request", "own_finding", "not_approver", "cannot_verify", "outsider"})
"""Rules that stop this person, and not everybody."""


def refusal(request: Request, rule: str, advice: str, person: Person) -> str:
    """Why a click did not count, and who can do what it was meant to do. Mentions in it notify nobody: only
    the person sees it."""
    said = [advice, "Your click changed nothing.", _instead(request, rule, person)]
    return " ".join(filter(None, said))


def already(action: str, lines: Sequence[Request]) -> str:
    """The answer to somebody who does once more what they did; `lines`: what it was about."""
    if action != "approve":
        return "You have done that already, and it counts once. The card shows what is still needed."
    needed = max((missing(line) for line in lines if line.state in BEFORE_PERMIT), default=0)
    people = "1 more person is" if needed == 1 else f"{needed} more people are"
    then = f"{people} needed." if needed else "Enough people have approved."
    return f"You approved already; it counts once. {then}"


def _instead(request: Request, rule: str, person: Person) -> str:
    others = named(o for o in request.may_decide if o not in {request.requester.user, person.user})
    if rule == "not_requester":
        return f"{mention(request.requester.user)} asked; {others or 'nobody else'} may approve or deny."
    if rule == "expired":
        return f"Whoever may ask can do so with {code(COMMAND)}."
    if rule == "no_approval":
        given = people(approval.by for approval in request.approvals)
        return f"Approved so far by {given}." if given else "Nobody has approved it."
    if rule not in OTHERS_MAY or request.state not in BEFORE_PERMIT | {State.NEEDS_PERSON}:
        return ""
    does = "say what they found" if request.state is State.NEEDS_PERSON else "approve or deny"
    return f"Those who may {does}: {others or 'nobody else'}."
