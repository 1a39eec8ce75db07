"""`/cancel-order`: the form, and the verbs behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.blocks import forms, ids, notices
from bot.errors import CountersignError
from bot.listeners.answers import SLOW, attempt
from bot.listeners.payload import Body, text_at, who_acted, who_typed
from bot.logs import get_logger
from bot.model import Person
from bot.slack import Slack, SlackProblem
from bot.workflow import Workflow

log = get_logger(__name__)

COMMAND = "/cancel-order"

Answer = Callable[[Person, list[str]], Awaitable[str]]


def register(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    desk = Desk(workflow, slack)

    @app.command(COMMAND)
    async def command(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack(text=await desk.answer(body))

    @app.shortcut(ids.CANCEL_AN_ORDER)
    async def shortcut(ack: AsyncAck, body: dict[str, Any]) -> None:
        await desk.open_form(text_at(body, "trigger_id"), who_acted(body), origin="")
        await ack()


class Desk:
    """Answers to what is typed behind the command. An empty answer means that a form was opened."""

    def __init__(self, workflow: Workflow, slack: Slack) -> None:
        self._workflow = workflow
        self._slack = slack
        self._verbs: Mapping[str, Answer] = {
            "help": self._help,
            "status": self._status,
            "mine": self._mine,
            "pending": self._pending,
            "history": self._history,
            "withdraw": self._withdraw,
        }

    async def answer(self, body: Body) -> str:
        words = text_at(body, "text").split()
        person = who_typed(body)
        verb = self._verbs.get(words[0].lower()) if words else None
        work = verb(person, words[1:]) if verb else self._ask(body, person, words)
        answer = await attempt("command", work)
        return answer.advice if isinstance(answer, CountersignError) else answer

    async def open_form(self, trigger: str, person: Person, origin: str, **typed: str) -> str:
        if person.team != self._workflow.policy.team:
            return "Only members of the workspace that runs this bot can ask here."
        enabled = self._workflow.accounts.facts
        provider = typed.get("provider") or (enabled[0].name if len(enabled) == 1 else None)
        view = forms.request_form(
            enabled,
            provider=provider,
            accounts=self._workflow.accounts.names_of(provider or ""),
            account=typed.get("account", ""),
            reference=typed.get("reference", ""),
            reason=typed.get("reason", ""),
            origin=origin,
        )
        try:
            await self._slack.open_view(trigger, view)
        except SlackProblem as problem:
            log.warning("form_not_opened", why=problem.code)
            return SLOW
        return ""

    async def _ask(self, body: Body, person: Person, words: list[str]) -> str:
        trigger, origin = text_at(body, "trigger_id"), text_at(body, "channel_id")
        if not words:
            return await self.open_form(trigger, person, origin)
        accounts = self._workflow.accounts
        provider = words[0].lower()
        if not accounts.names_of(provider):
            if get_close_matches(provider, self._verbs, 1, cutoff=0.7):
                return notices.unknown_verb(words[0])
            return notices.unknown_provider(words[0], accounts.facts)
        rest = words[1:]
        account = rest.pop(0) if rest and rest[0] in accounts.names_of(provider) else ""
        typed = {"reference": rest[0] if rest else "", "reason": " ".join(rest[1:])}
        return await self.open_form(trigger, person, origin, provider=provider, account=account, **typed)

    async def _help(self, person: Person, rest: list[str]) -> str:  # noqa: ARG002
        return notices.help_text(self._workflow.accounts.facts)

    async def _status(self, person: Person, rest: list[str]) -> str:  # noqa: ARG002
        request = await self._workflow.find(rest[0] if rest else "")
        return notices.status_text(request, self._workflow.facts(request))

    async def _mine(self, person: Person, rest: list[str]) -> str:  # noqa: ARG002
        return self._list(await self._workflow.mine(person), "Your requests")

    async def _pending(self, person: Person, rest: list[str]) -> str:  # noqa: ARG002
        return self._list(await self._workflow.pending(), "Waiting for people")

    async def _history(self, person: Person, rest: list[str]) -> str:  # noqa: ARG002
        return self._list(await self._workflow.history(), "The latest requests")

    async def _withdraw(self, person: Person, rest: list[str]) -> str:
        request = await self._workflow.find(rest[0] if rest else "")
        after = await self._workflow.withdraw(request.id, person)
        return notices.status_text(after, self._workflow.facts(after))

    def _list(self, requests: list[Any], title: str) -> str:
        facts = {request.provider: self._workflow.facts(request) for request in requests}
        return notices.list_text(requests, facts, title)
