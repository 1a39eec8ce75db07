"""The modals: asking for a cancellation, denying one, and saying what became of one."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.blocks import forms, ids
from bot.errors import BadForm, CountersignError
from bot.listeners.answers import attempt
from bot.listeners.payload import selected, text_at, who_acted
from bot.logs import get_logger
from bot.slack import Slack, SlackProblem
from bot.workflow import Ask, Workflow

log = get_logger(__name__)


def register(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    @app.action(ids.PROVIDER)
    async def choose_provider(ack: AsyncAck, body: dict[str, Any]) -> None:
        """The form changes with the provider: label, hint and consequence are the provider's own."""
        view = body.get("view") or {}
        typed = forms.read_request_form(view)
        provider = selected(body)
        changed = forms.request_form(
            workflow.accounts.facts,
            provider=provider,
            accounts=workflow.accounts.names_of(provider or ""),
            reference=typed.reference,
            reason=typed.reason,
            origin=typed.origin,
        )
        try:
            await slack.update_view(text_at(view, "id"), text_at(view, "hash"), changed)
        except SlackProblem as problem:
            log.warning("form_not_changed", why=problem.code)
        await ack()

    @app.view(ids.REQUEST_FORM)
    async def submit(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        errors = await _submit(workflow, body, view)
        await (ack(response_action="errors", errors=errors) if errors else ack())

    @app.view(ids.DENY_FORM)
    async def deny(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        errors = await _deny(workflow, body, view)
        await (ack(response_action="errors", errors=errors) if errors else ack())

    @app.view(ids.CLOSING_FORM)
    async def close(ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        errors = await _close(workflow, body, view)
        await (ack(response_action="errors", errors=errors) if errors else ack())


async def _submit(workflow: Workflow, body: dict[str, Any], view: dict[str, Any]) -> dict[str, str]:
    form = forms.read_request_form(view)
    ask = Ask(form.provider or "", form.reference, form.reason, form.origin, form.account)
    result = await attempt("request form", workflow.submit(ask, who_acted(body)))
    if isinstance(result, BadForm):
        return forms.form_errors(result.errors, view)
    if isinstance(result, CountersignError):
        return forms.form_errors({"reference": result.advice}, view)
    return {}


async def _deny(workflow: Workflow, body: dict[str, Any], view: dict[str, Any]) -> dict[str, str]:
    request_id, _, reason = forms.read_deny_form(view)
    if not reason:
        return {ids.REASON_BLOCK: "Say why, so that the requester knows what to do."}
    result = await attempt("denial form", workflow.deny(request_id, who_acted(body), reason))
    return {ids.REASON_BLOCK: result.advice} if isinstance(result, CountersignError) else {}


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
