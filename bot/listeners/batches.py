"""Several orders at once: the switch in the form, the list that was sent, and the buttons of the card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot import once
from bot.batch.asking import BatchAsk
from bot.batch.rules import Batch, read_lines, split_lines, write_line
from bot.blocks import forms, ids
from bot.blocks.batch_details import batch_deny_form, batch_details, batch_question_form
from bot.blocks.cards import CALLED_OFF
from bot.blocks.text import literal
from bot.clicks import Click
from bot.errors import BadForm, CountersignError, SomeAskedBefore
from bot.listeners.answers import SAY_WHAT, SAY_WHY, answer, attempt, filled_in, open_view
from bot.listeners.payload import pressed, text_at, who_acted
from bot.logs import get_logger
from bot.model import Person, Request
from bot.slack import Slack, SlackProblem
from bot.workflow import Workflow

log = get_logger(__name__)

_PAGE = re.compile(rf"{ids.BATCH_PAGE}\.[0-9]{{1,3}}")


def register(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    _register_decisions(app, workflow, slack)
    _register_forms(app, workflow)
    _register_details(app, workflow, slack)

    @app.action(ids.BATCH_ASK_AGAIN)
    async def ask_again(ack: AsyncAck, body: dict[str, Any]) -> None:
        """The form, filled in with what was not cancelled. It is a new request: nothing is revived."""

        async def show(click: Click, person: Person) -> None:
            batch, lines = await workflow.batches.see(click.request_id, person)
            await open_view(slack, body, filled_in(workflow, *_again(batch, lines)))

        await answer(ack, workflow, body, show)

    @app.action(ids.SEVERAL)
    async def switch(ack: AsyncAck, body: dict[str, Any]) -> None:
        """From one order to a list of them, or back; what there is room for is kept."""
        typed = forms.read_request_form(body.get("view") or {})
        first = next((line.reference for line in read_lines(typed.lines)), typed.reference)
        changed = replace(typed, several=not typed.several, lines=typed.reference, reference=first, seen="")
        await _update(slack, body, filled_in(workflow, changed))
        await ack()


def _register_decisions(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    @app.action(ids.BATCH_APPROVE)
    async def approve(ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer(ack, workflow, body, lambda click, person: workflow.batches.approve(click, person))

    @app.action(ids.BATCH_TAKE_BACK)
    async def take_back(ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer(ack, workflow, body, lambda click, person: workflow.batches.take_back(click, person))

    @app.action(ids.BATCH_WITHDRAW)
    async def withdraw(ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer(
            ack,
            workflow,
            body,
            lambda click, person: workflow.batches.withdraw(click.request_id, person, click),
        )

    @app.action(ids.BATCH_DENY)
    async def deny(ack: AsyncAck, body: dict[str, Any]) -> None:
        """Denying takes a reason, so the button opens a form; nothing is decided yet."""

        async def ask_why(click: Click, person: Person) -> None:
            batch, lines = await workflow.batches.may_deny(click, person)
            await open_view(slack, body, batch_deny_form(batch, lines, workflow.batches.facts(batch)))

        await answer(ack, workflow, body, ask_why)

    @app.action(ids.BATCH_ASK)
    async def ask(ack: AsyncAck, body: dict[str, Any]) -> None:
        """A question opens a form as well; the request goes on meanwhile."""

        async def ask_what(click: Click, person: Person) -> None:
            batch, _ = await workflow.batches.may_question(click, person)
            await open_view(slack, body, batch_question_form(batch, workflow.batches.facts(batch)))

        await answer(ack, workflow, body, ask_what)


def _register_forms(app: AsyncApp, workflow: Workflow) -> None:
    @app.view(ids.BATCH_DENY_FORM)
    async def denied(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        batch_id, reason = forms.read_deny_form(view)
        if not reason:
            await _told(ack, CountersignError(SAY_WHY), ids.REASON_BLOCK)
            return
        result = await attempt("denial form", workflow.batches.deny(batch_id, who_acted(body), reason))
        await _told(ack, result, ids.REASON_BLOCK)

    @app.view(ids.BATCH_QUESTION_FORM)
    async def questioned(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        batch_id, question = forms.read_question_form(view)
        if not question:
            await _told(ack, CountersignError(SAY_WHAT), ids.QUESTION_BLOCK)
            return
        result = await attempt(
            "question form", workflow.batches.question(batch_id, who_acted(body), question)
        )
        await _told(ack, result, ids.QUESTION_BLOCK)


async def _told(ack: AsyncAck, result: object, block_id: str) -> None:
    """Close a form, or say in it at that field why nothing came of it."""
    if isinstance(result, CountersignError):
        await ack(response_action="errors", errors={block_id: result.advice})
    else:
        await ack()


def _register_details(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    @app.action(ids.BATCH_DETAILS)
    async def details(ack: AsyncAck, body: dict[str, Any]) -> None:
        async def show(click: Click, person: Person) -> None:
            batch, lines = await workflow.batches.see(click.request_id, person)
            await open_view(slack, body, batch_details(batch, lines, workflow.batches.facts(batch)))

        await answer(ack, workflow, body, show)

    @app.action(_PAGE)
    async def turn(ack: AsyncAck, body: dict[str, Any]) -> None:
        """Another page of the details, as they are now."""
        batch_id, _, page = pressed(body).rpartition("-")
        found = await attempt("details page", workflow.batches.see(batch_id, who_acted(body)))
        if not isinstance(found, CountersignError):
            number = int(page) if page.isdecimal() else 0
            await _update(slack, body, batch_details(*found, workflow.batches.facts(found[0]), number))
        await ack()


async def submit_batch(
    workflow: Workflow, form: forms.RequestForm, body: dict[str, Any], view: dict[str, Any]
) -> dict[str, Any]:
    """What to answer the form with: nothing when it is done, errors, or the form with a notice on top."""
    text = f"{form.lines}\n{form.more_lines}"
    typed = (form.provider or "", text, form.reason, form.origin, form.account, form.seen)
    ask = BatchAsk(*typed, mark=once.mark())
    result = await attempt("list form", workflow.batches.submit(ask, who_acted(body)))
    if isinstance(result, SomeAskedBefore):
        once_more = "Send the form once more if they have to be asked again, or take the line out."
        note = f"{literal(result.advice, 2000)} {once_more}"
        again = replace(form, seen=result.seen)
        return {"response_action": "update", "view": filled_in(workflow, again, note)}
    if isinstance(result, BadForm):
        return {"response_action": "errors", "errors": forms.form_errors(result.errors, view)}
    if isinstance(result, CountersignError):
        errors = forms.form_errors({"reference": result.advice}, view)
        return {"response_action": "errors", "errors": errors}
    return {}


def _again(batch: Batch, lines: Sequence[Request]) -> tuple[forms.RequestForm, str]:
    """What a new request for the rest would say, and the note on top. Secret references are wiped by now."""
    left = [line for line in lines if line.state in CALLED_OFF]
    known = [line for line in left if not line.reference.startswith("#")]
    text = [_typed_again(line, batch) for line in known]
    first, more = split_lines(text, forms.LINES_MAX)
    asked, wiped = batch.asked, len(left) - len(known)
    note = f"This is a new request. The earlier one, {batch.short_id}, stays as it ended."
    if wiped:
        note += f" The references of {wiped} orders are secrets and are not kept: paste them again."
    form = forms.RequestForm(
        provider=asked.provider,
        reason=asked.reason,
        account=asked.account_name,
        several=True,
        lines=first,
        more_lines=more,
    )
    return form, note


def _typed_again(line: Request, batch: Batch) -> str:
    """As it may be typed: with a reason of its own where it had one."""
    own = line.reason if line.reason != batch.asked.reason else ""
    return write_line(line.reference, own)


async def _update(slack: Slack, body: dict[str, Any], view: dict[str, Any]) -> None:
    """Show something else in the modal that is open. One that was closed meanwhile stays closed."""
    shown = body.get("view") or {}
    try:
        await slack.update_view(text_at(shown, "id"), text_at(shown, "hash"), view)
    except SlackProblem as problem:
        log.warning("view_not_changed", why=problem.code)
