"""The modals: asking for a cancellation, denying one, and saying what became of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot import once
from bot.admission import Ask
from bot.blocks import forms, ids, notices
from bot.errors import AskedBefore, BadForm, CountersignError, Duplicate
from bot.listeners.answers import SAY_WHAT, SAY_WHY, attempt, filled_in
from bot.listeners.batches import submit_batch
from bot.listeners.payload import selected, text_at, who_acted
from bot.logs import get_logger
from bot.slack import Slack, SlackProblem
from bot.workflow import Workflow

log = get_logger(__name__)


def register(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    @app.action(ids.PROVIDER)
    async def choose_provider(ack: AsyncAck, body: dict[str, Any]) -> None:
        """The form changes with the provider: label, hint and consequence are the provider's own."""
        view = body.get("view") or {}
        typed = forms.read_request_form(view)
        provider = selected(body)
        changed = filled_in(workflow, replace(typed, provider=provider, account="", seen=""))
        try:
            await slack.update_view(text_at(view, "id"), text_at(view, "hash"), changed)
        except SlackProblem as problem:
            log.warning("form_not_changed", why=problem.code)
        await ack()

    @app.view(ids.REQUEST_FORM)
    async def submit(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        await ack(**await _submit(workflow, slack, body, view))

    @app.view(ids.DENY_FORM)
    async def deny(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        errors = await _deny(workflow, body, view)
        await (ack(response_action="errors", errors=errors) if errors else ack())

    @app.view(ids.QUESTION_FORM)
    async def question(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        errors = await _question(workflow, body, view)
        await (ack(response_action="errors", errors=errors) if errors else ack())

    @app.view(ids.CLOSING_FORM)
    async def close(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        errors = await _close(workflow, body, view)
        await (ack(response_action="errors", errors=errors) if errors else ack())


async def _submit(
    workflow: Workflow, slack: Slack, body: dict[str, Any], view: dict[str, Any]
) -> dict[str, Any]:
    """What to answer the form with: nothing when it is done, errors, or the form with a notice on top."""
    form = forms.read_request_form(view)
    if form.several:
        return await submit_batch(workflow, form, body, view)
    typed = (form.provider or "", form.reference, form.reason, form.origin, form.account, form.seen)
    ask = Ask(*typed, mark=once.mark())
    result = await attempt("request form", workflow.submit(ask, who_acted(body)))
    if isinstance(result, AskedBefore | Duplicate):
        notice = await _about_the_other(workflow, slack, result)
        seen = result.request_id if isinstance(result, AskedBefore) else ""
        return {"response_action": "update", "view": filled_in(workflow, replace(form, seen=seen), notice)}
    if isinstance(result, BadForm):
        return {"response_action": "errors", "errors": forms.form_errors(result.errors, view)}
    if isinstance(result, CountersignError):
        errors = forms.form_errors({"reference": result.advice}, view)
        return {"response_action": "errors", "errors": errors}
    return {}


async def _about_the_other(workflow: Workflow, slack: Slack, found: AskedBefore | Duplicate) -> str:
    """What became of the other request for the same order, with a link to its card if Slack gives one
    in time."""
    request, _ = await workflow.load(found.request_id)
    card = await workflow.card_of(request.id)
    link = await slack.permalink(*card) if card else ""
    return notices.other_request(request, link)


async def _deny(workflow: Workflow, body: dict[str, Any], view: dict[str, Any]) -> dict[str, str]:
    request_id, reason = forms.read_deny_form(view)
    if not reason:
        return {ids.REASON_BLOCK: SAY_WHY}
    result = await attempt("denial form", workflow.deny(request_id, who_acted(body), reason))
    return {ids.REASON_BLOCK: result.advice} if isinstance(result, CountersignError) else {}


async def _question(workflow: Workflow, body: dict[str, Any], view: dict[str, Any]) -> dict[str, str]:
    request_id, question = forms.read_question_form(view)
    if not question:
        return {ids.QUESTION_BLOCK: SAY_WHAT}
    result = await attempt("question form", workflow.question(request_id, who_acted(body), question))
    return {ids.QUESTION_BLOCK: result.advice} if isinstance(result, CountersignError) else {}


async def _close(workflow: Workflow, body: dict[str, Any], view: dict[str, Any]) -> dict[str, str]:
    said = forms.read_closing_form(view)
    if said.finding is None:
        return {ids.FINDING_BLOCK: "Choose what you found."}
    if not said.evidence:
        return {
            ids.EVIDENCE_BLOCK: "Say where you looked and what it says there, so that it can be confirmed."
        }
    proposal = workflow.propose_closing(
        said.request_id, who_acted(body), said.finding, said.evidence, said.digest
    )
    result = await attempt("closing form", proposal)
    return {ids.EVIDENCE_BLOCK: result.advice} if isinstance(result, CountersignError) else {}
