"""The buttons on the card, and what they open."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.blocks import forms, ids
from bot.blocks.details import details_view
from bot.clicks import Click
from bot.listeners.answers import answer, open_view
from bot.logs import get_logger
from bot.model import Person
from bot.slack import Slack
from bot.workflow import Workflow

log = get_logger(__name__)


def register(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    _register_decisions(app, workflow)
    _register_forms(app, workflow, slack)
    _register_details(app, workflow, slack)


def _register_decisions(app: AsyncApp, workflow: Workflow) -> None:
    """Buttons that decide something at once."""

    @app.action(ids.APPROVE)
    async def approve(ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer(ack, workflow, body, lambda click, person: workflow.approve(click, person))

    @app.action(ids.TAKE_BACK)
    async def take_back(ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer(ack, workflow, body, lambda click, person: workflow.take_back(click, person))

    @app.action(ids.WITHDRAW)
    async def withdraw(ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer(
            ack, workflow, body, lambda click, person: workflow.withdraw(click.request_id, person, click)
        )

    @app.action(ids.CONFIRM_CLOSING)
    async def confirm(ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer(ack, workflow, body, lambda click, person: workflow.confirm_closing(click, person))


def _register_forms(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    """Buttons that open a form: nothing is decided before it is sent."""

    @app.action(ids.DENY)
    async def deny(ack: AsyncAck, body: dict[str, Any]) -> None:
        """Denying takes a reason, so the button opens a form; nothing is decided yet."""

        async def ask_why(click: Click, person: Person) -> None:
            request = await workflow.may_deny(click, person)
            await open_view(slack, body, forms.deny_form(request, workflow.facts(request)))

        await answer(ack, workflow, body, ask_why)

    @app.action(ids.ASK)
    async def ask(ack: AsyncAck, body: dict[str, Any]) -> None:
        """A question opens a form as well; the request goes on meanwhile."""

        async def ask_what(click: Click, person: Person) -> None:
            request = await workflow.may_question(click, person)
            await open_view(slack, body, forms.question_form(request, workflow.facts(request)))

        await answer(ack, workflow, body, ask_what)

    @app.action(ids.CLOSE)
    async def close(ack: AsyncAck, body: dict[str, Any]) -> None:
        """Closing takes evidence, so this button opens a form too."""

        async def ask_what(click: Click, person: Person) -> None:
            request = await workflow.may_close(click, person)
            await open_view(slack, body, forms.closing_form(request, workflow.facts(request)))

        await answer(ack, workflow, body, ask_what)


def _register_details(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    @app.action(ids.DETAILS)
    async def details(ack: AsyncAck, body: dict[str, Any]) -> None:
        """What the card has no room for. Whoever sees the card may read it; nothing is decided."""

        async def show(click: Click, person: Person) -> None:
            request = await workflow.see(click.request_id, person)
            await open_view(slack, body, details_view(request, workflow.facts(request)))

        await answer(ack, workflow, body, show)
