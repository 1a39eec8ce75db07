"""The catch-all of the front door: whatever happens behind it, a person gets one honest sentence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from slack_bolt.async_app import AsyncAck
from slack_bolt.response import BoltResponse

from bot.blocks.forms import RequestForm, chosen_of, request_form
from bot.clicks import Click
from bot.errors import CountersignError, Refused, StorageError
from bot.listeners.payload import clicked, text_at, who_acted
from bot.logs import get_logger
from bot.model import Person
from bot.slack import Slack, SlackProblem
from bot.workflow import Workflow

log = get_logger(__name__)

T = TypeVar("T")
SLOW = "Slack did not open the form in time. Please try once more."
SAY_WHY = "Choose a reason above, or say here what is wrong."
SAY_WHAT = "Write down what you want to know."
BROKEN = "Something went wrong on our side and nothing was changed. Please try again in a moment."


async def attempt(what: str, work: Awaitable[T]) -> T | CountersignError:
    """The result of `work`, or the problem to tell the person about. Never raises."""
    try:
        return await work
    except StorageError as problem:
        log.warning("not_stored", what=what, why=problem.advice)
        return problem
    except CountersignError as problem:
        return problem
    except Exception:
        log.exception("listener_failed", what=what)
        return CountersignError(BROKEN)


def filled_in(workflow: Workflow, form: RequestForm, note: str = "") -> dict[str, Any]:
    """The form as it is filled in, with what can be chosen here."""
    enabled = workflow.accounts.facts
    chosen = chosen_of(form, enabled)
    return request_form(form, enabled, workflow.accounts.names_of(chosen.name) if chosen else (), note)


async def open_view(slack: Slack, body: dict[str, Any], view: dict[str, Any]) -> None:
    """Raises `Refused` when Slack does not open it."""
    try:
        await slack.open_view(text_at(body, "trigger_id"), view)
    except SlackProblem as problem:
        log.warning("form_not_opened", why=problem.code)
        raise Refused("slow", SLOW) from None


async def answer(
    ack: AsyncAck,
    workflow: Workflow,
    body: dict[str, Any],
    act: Callable[[Click, Person], Awaitable[object]],
) -> None:
    """Do what was clicked, or tell the clicker privately why not, and then acknowledge it. When neither
    could be stored Slack is told so at once, and shows the person that it did not work."""
    person, channel = who_acted(body), text_at(body, "channel", "id")
    click: Click | None = None

    async def work() -> object:
        nonlocal click
        click = clicked(body, text_at(body, "api_app_id"))
        return await act(click, person)

    result = await attempt("button", work())
    if isinstance(result, CountersignError):
        result = await attempt("private answer", workflow.refuse(click, channel, person, result))
    if isinstance(result, CountersignError):
        ack.response = BoltResponse(status=500, body="not stored")
    else:
        await ack()
