"""`/cancel-order`: the form, and the verbs behind it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot import asking, once
from bot.asking import Meant
from bot.batch.views import Views
from bot.blocks import ids, notices
from bot.blocks.batch_notices import batch_line, batch_status
from bot.blocks.forms import RequestForm
from bot.blocks.text import literal, mention, when
from bot.errors import CountersignError, Outsider
from bot.listeners.answers import SLOW, attempt, filled_in
from bot.listeners.payload import Body, message_text, pressed, text_at, who_acted, who_typed
from bot.logs import get_logger
from bot.model import Person, Request
from bot.simulate import Style, in_words
from bot.slack import Slack, SlackProblem
from bot.views import Page
from bot.workflow import Workflow

log = get_logger(__name__)

IN_SLACK = Style(mention, when, literal)
NO_REASON = "No reason was given"

_USER = re.compile(r"(?:<@)?([UW][A-Z0-9]{4,20})(?:\|[^>]*)?>?", re.ASCII)

Answer = Callable[[Person, list[str]], Awaitable[str]]


def register(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    desk = Desk(workflow, slack)

    @app.command(ids.COMMAND)
    async def command(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack(text=await desk.answer(body))

    @app.shortcut(ids.CANCEL_AN_ORDER)
    async def shortcut(ack: AsyncAck, body: dict[str, Any]) -> None:
        await desk.open_form(text_at(body, "trigger_id"), who_acted(body), Meant())
        await ack()

    @app.shortcut(ids.CANCEL_THIS_ORDER)
    async def from_message(ack: AsyncAck, body: dict[str, Any]) -> None:
        meant = asking.read_text(message_text(body), workflow.accounts.facts)
        await desk.open_form(text_at(body, "trigger_id"), who_acted(body), meant)
        await ack()

    @app.event("app_home_opened")
    async def home_opened(body: dict[str, Any]) -> None:
        event = body.get("event") or {}
        person = Person(text_at(body, "team_id"), text_at(event, "user"))
        if text_at(event, "tab") == "home" and person.team == workflow.policy.team:
            await attempt("home", workflow.home_opened(person))

    @app.action(ids.START)
    async def start(ack: AsyncAck, body: dict[str, Any]) -> None:
        await desk.open_form(text_at(body, "trigger_id"), who_acted(body), Meant())
        await ack()

    @app.action(ids.ASK_AGAIN)
    async def ask_again(ack: AsyncAck, body: dict[str, Any]) -> None:
        """The form, filled in from a request that ended. It is a new request: nothing is revived."""
        found = await attempt("ask again", workflow.ended(pressed(body)))
        if not isinstance(found, CountersignError):
            await desk.open_form(text_at(body, "trigger_id"), who_acted(body), _again(found))
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
            "pause": self._pause,
            "resume": self._resume,
            "simulate": self._simulate,
        }

    async def answer(self, body: Body) -> str:
        words = text_at(body, "text").split()
        person = who_typed(body)
        verb = self._verbs.get(words[0].lower()) if words else None
        work = verb(person, words[1:]) if verb else self._ask(body, person, words)
        answer = await attempt("command", work)
        return answer.advice if isinstance(answer, CountersignError) else answer

    async def open_form(self, trigger: str, person: Person, meant: Meant, origin: str = "") -> str:
        """Returns what to tell instead, when it cannot be opened."""
        if person.team != self._workflow.policy.team:
            return Outsider("ask here").advice
        form = RequestForm(meant.provider or None, meant.reference, meant.reason, origin, meant.account)
        view = filled_in(self._workflow, form, literal(meant.note, 300))
        try:
            await self._slack.open_view(trigger, view)
        except SlackProblem as problem:
            log.warning("form_not_opened", why=problem.code)
            return SLOW
        return ""

    async def _ask(self, body: Body, person: Person, words: list[str]) -> str:
        accounts = self._workflow.accounts
        names = {facts.name: accounts.names_of(facts.name) for facts in accounts.facts}
        first = words[0].lower() if words else ""
        if first not in names and get_close_matches(first, self._verbs, 1, cutoff=0.7):
            return notices.unknown_verb(words[0])
        if first not in names and self._workflow.knows(first):
            return notices.unknown_provider(words[0], accounts.facts)  # known, but not set up here
        meant = asking.read_command(words, accounts.facts, names)
        if meant is not None:
            return await self.open_form(
                text_at(body, "trigger_id"), person, meant, text_at(body, "channel_id")
            )
        return notices.unknown_provider(words[0], accounts.facts, "provider and no command")

    async def _help(self, person: Person, rest: list[str]) -> str:  # noqa: ARG002
        return notices.help_text(self._workflow.accounts.facts)

    async def _status(self, person: Person, rest: list[str]) -> str:  # noqa: ARG002
        if several := await self._workflow.batches.find(rest[0] if rest else ""):
            return batch_status(*several, self._workflow.batches.facts(several[0]))
        request = await self._workflow.find(rest[0] if rest else "")
        return notices.status_text(request, self._workflow.facts(request))

    async def _mine(self, person: Person, rest: list[str]) -> str:
        number = _page_number(rest)
        several = await self._workflow.batches.mine(person, number)
        return self._list(await self._workflow.mine(person, number), several, "Your requests", "mine")

    async def _pending(self, person: Person, rest: list[str]) -> str:  # noqa: ARG002
        number = _page_number(rest)
        several = await self._workflow.batches.pending(number)
        return self._list(await self._workflow.pending(number), several, "Waiting for people", "pending")

    async def _history(self, person: Person, rest: list[str]) -> str:
        """Of all, of one provider, or of one person: `me`, a member ID or a mention."""
        of = rest[0].lower() if rest and not rest[0].isdecimal() else ""
        number = _page_number(rest[1:] if of else rest)
        user = person.user if of == "me" else _user_in(rest[0]) if of else ""
        provider = "" if user else of
        if provider and not self._workflow.accounts.names_of(provider):
            return notices.unknown_provider(rest[0], self._workflow.accounts.facts)
        by = Person(person.team, user) if user else None
        page = await self._workflow.history(provider, by, number)
        several = await self._workflow.batches.history(provider, by, number)
        return self._list(page, several, "Requests that ended", f"history {of}".strip())

    async def _withdraw(self, person: Person, rest: list[str]) -> str:
        if several := await self._workflow.batches.find(rest[0] if rest else ""):
            batch = await self._workflow.batches.withdraw(several[0].id, person)
            after_all = await self._workflow.batches.see(batch.id, person)
            return batch_status(*after_all, self._workflow.batches.facts(batch))
        request = await self._workflow.find(rest[0] if rest else "")
        after = await self._workflow.withdraw(request.id, person)
        return notices.status_text(after, self._workflow.facts(after))

    async def _pause(self, person: Person, rest: list[str]) -> str:
        """Of one provider or of all; what follows is the reason."""
        named = self._named(rest)
        if named is None:
            return notices.unknown_provider(rest[0], self._workflow.accounts.facts)
        reason = " ".join(rest[1:] if named else rest) or NO_REASON
        return await self._workflow.pauses.pause(named, person, reason, once.mark())

    async def _resume(self, person: Person, rest: list[str]) -> str:
        named = self._named(rest)
        if named is None or (rest and not named):
            return notices.unknown_provider(rest[0], self._workflow.accounts.facts)
        return literal(await self._workflow.pauses.resume(named, person, once.mark()), 2000)

    async def _simulate(self, person: Person, rest: list[str]) -> str:
        """Of a provider, and of one of its accounts where there are several."""
        accounts = self._workflow.accounts
        named = rest[0].lower() if rest else ""
        names = accounts.names_of(named)
        if not names:
            return notices.unknown_provider(rest[0] if rest else "", accounts.facts)
        account = accounts.find(named, rest[1] if len(rest) > 1 else names[0] if len(names) == 1 else "")
        if account is None:
            return f"Which account? There are: {literal(', '.join(names), 1000)}."
        return "\n".join(in_words(await self._workflow.simulate(account, person), IN_SLACK))

    def _named(self, words: list[str]) -> str | None:
        """The provider that the first word names; empty when it names none, None when it seems to be one
        that is misspelt or not set up here: what was meant for one must not stop all."""
        first = words[0].lower() if words else ""
        names = [facts.name for facts in self._workflow.accounts.facts]
        if first in names:
            return first
        is_near = first and get_close_matches(first, names, 1, cutoff=0.7)
        return None if is_near or self._workflow.knows(first) else ""

    def _list(self, page: Page, several: Views, title: str, verb: str) -> str:
        facts = {request.provider: self._workflow.facts(request) for request in page.requests}
        more = f"{verb} {page.number + 1}" if page.has_more or several.has_more else ""
        lists = [batch_line(*one, self._workflow.batches.facts(one[0])) for one in several.shown]
        return notices.list_text(page.requests, facts, title, more, lists)


def _page_number(words: list[str]) -> int:
    """`2` or `page 2`; the first page for anything else."""
    last = words[-1] if words else ""
    return max(int(last), 1) if last.isascii() and last.isdecimal() and len(last) < 5 else 1


def _user_in(word: str) -> str:
    """The member ID in `U0123`, `<@U0123>` or `<@U0123|bob>`; empty when it is none."""
    found = _USER.fullmatch(word)
    return found[1] if found else ""


def _again(request: Request) -> Meant:
    """What a new request like an old one would say. A secret reference is wiped by now."""
    known = "" if request.reference.startswith("#") else request.reference
    note = f"This is a new request. The earlier one, {request.short_id}, stays as it ended."
    return Meant(request.provider, request.account_name, known, request.reason, note)
