"""The buttons on the card."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.blocks import forms, ids
from bot.errors import CountersignError, Refused
from bot.listeners.answers import SLOW, attempt
from bot.listeners.payload import clicked, text_at, who_acted
from bot.logs import get_logger
from bot.model import Person
from bot.slack import Slack, SlackProblem
from bot.workflow import Click, Workflow

log = get_logger(__name__)


def register(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    @app.action(ids.APPROVE)
    async def approve(ack: AsyncAck, body: dict[str, Any]) -> None:
        if await _answer(workflow, body, lambda click, person: workflow.approve(click, person)):
            await ack()

    @app.action(ids.WITHDRAW)
    async def withdraw(ack: AsyncAck, body: dict[str, Any]) -> None:
        if await _answer(
            workflow, body, lambda click, person: workflow.withdraw(click.request_id, person, click)
        ):
            await ack()

    @app.action(ids.DENY)
    async def deny(ack: AsyncAck, body: dict[str, Any]) -> None:
        """Denying takes a reason, so the button opens a form; nothing is decided yet."""

        async def ask_why(click: Click, person: Person) -> None:
            request = await workflow.may_deny(click, person)
            await _open(slack, body, forms.deny_form(request, workflow.facts(request)))

        if await _answer(workflow, body, ask_why):
            await ack()

    @app.action(ids.CLOSE)
    async def close(ack: AsyncAck, body: dict[str, Any]) -> None:
        """Closing takes evidence, so this button opens a form too."""

        async def ask_what(click: Click, person: Person) -> None:
            request = await workflow.may_close(click, person)
            await _open(slack, body, forms.closing_form(request, workflow.facts(request)))

        if await _answer(workflow, body, ask_what):
            await ack()

    @app.action(ids.CONFIRM_CLOSING)
    async def confirm(ack: AsyncAck, body: dict[str, Any]) -> None:
        if await _answer(workflow, body, lambda click, person: workflow.confirm_closing(click, person)):
            await ack()


async def _open(slack: Slack, body: dict[str, Any], view: dict[str, Any]) -> None:
    try:
        await slack.open_view(text_at(body, "trigger_id"), view)
    except SlackProblem as problem:
        log.warning("form_not_opened", why=problem.code)
        raise Refused("slow", SLOW) from None


async def _answer(
    workflow: Workflow, body: dict[str, Any], act: Callable[[Click, Person], Awaitable[object]]
) -> bool:
    """Do what was clicked, or tell the clicker privately why not. False when neither could be stored:
    then Slack must not be told "ok", and shows the person that it did not work."""
    person, channel = who_acted(body), text_at(body, "channel", "id")

    async def work() -> object:
        return await act(clicked(body, text_at(body, "api_app_id")), person)

    result = await attempt("button", work())
    if not isinstance(result, CountersignError):
        return True
    told = await attempt("private answer", workflow.whisper(channel, person, result.advice))
    return not isinstance(told, CountersignError)
