"""The forms: building one and reading it back, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.blocks import ids
from bot.blocks.cards import CANNOT_BE_UNDONE, read_button
from bot.blocks.text import (
    Block,
    capital,
    context,
    cut,
    literal,
    mention,
    plain,
    plain_text,
    quote,
    section,
    sentence,
    when,
)
from bot.blocks.words import DENIALS, FINDINGS, found, label, order_facts, the_order
from bot.model import Finding, Request, closing_digest
from providers.contract import Facts

REASON_MAX = 500
REFERENCE_MAX = 200
HINT_MAX = 2000
LINES_MAX = 3000
"""What Slack lets one box hold."""
PLACEHOLDER_MAX = 150
OPTION_MAX = 75
OTHER = "other"

REPLACED = "What you say now takes the place of that."
NO_PROVIDER_YET = "Order ID, number or token"


# --- asking for a cancellation ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestForm:
    """The form as it is filled in."""

    provider: str | None = None
    reference: str = ""
    reason: str = ""
    origin: str = ""
    """The channel in which the form was opened; empty where there was none."""
    account: str = ""
    """Empty where there is nothing to choose."""
    seen: str = ""
    """The earlier request about the same order that the person was told about."""
    several: bool = False
    """Whether it asks for a list of orders."""
    lines: str = ""
    more_lines: str = ""
    """The list, in two boxes because of what Slack lets one hold."""


def request_form(
    form: RequestForm, enabled: Sequence[Facts], accounts: Sequence[str] = (), note: str = ""
) -> Block:
    """The form, filled in as far as is known. Choosing another provider builds it again.

    `accounts` are those of its provider; where there are several, one has to be chosen. `note` stands on
    top, as markup.
    """
    chosen = chosen_of(form, enabled)
    several = {"several": True} if form.several else {}
    return {
        "type": "modal",
        "callback_id": ids.REQUEST_FORM,
        "private_metadata": json.dumps({"origin": form.origin, "seen": form.seen} | several),
        "title": plain_text("Cancel several orders" if form.several else "Cancel an order"),
        "submit": plain_text("Ask for approval"),
        "close": plain_text("Close"),
        "blocks": [
            *([section(note, ids.NOTE)] if note else []),
            _provider_input(enabled, chosen),
            *([_account_input(chosen, accounts, form.account)] if chosen and len(accounts) > 1 else []),
            *(_lines_inputs(chosen, form) if form.several else [_reference_input(chosen, form.reference)]),
            _reason_input(form.reason, "Why is this order to be cancelled? The approvers decide on it."),
            *([_consequence(chosen)] if chosen else []),
            _switch(form.several),
        ],
    }


def chosen_of(form: RequestForm, enabled: Sequence[Facts]) -> Facts | None:
    """Its provider, which need not be chosen where there is only one."""
    if form.provider is None and len(enabled) == 1:
        return enabled[0]
    return next((facts for facts in enabled if facts.name == form.provider), None)


def read_request_form(view: Mapping[str, Any]) -> RequestForm:
    """What was typed. Never raises: what is missing or malformed is empty."""
    chosen = _mapping(_field(view, ids.PROVIDER_BLOCK, ids.PROVIDER).get("selected_option"))
    return RequestForm(
        provider=_text(chosen.get("value")) or None,
        reference=_text(_field(view, _reference_block(view), ids.REFERENCE).get("value")),
        reason=_text(_field(view, ids.REASON_BLOCK, ids.REASON).get("value")),
        origin=_text(_metadata(view).get("origin")),
        account=_text(_mapping(_account(view).get("selected_option")).get("value")),
        seen=_text(_metadata(view).get("seen")),
        several=_metadata(view).get("several") is True,
        lines=_text(_field(view, _block_of(view, ids.LINES_BLOCK), ids.LINES).get("value")),
        more_lines=_text(_field(view, ids.MORE_LINES_BLOCK, ids.MORE_LINES).get("value")),
    )


def form_errors(errors: Mapping[str, str], view: Mapping[str, Any]) -> dict[str, str]:
    """Advice by field name, as Slack wants it: by the blocks of this very view."""
    blocks = {
        "reference": _block_of(view, ids.LINES_BLOCK) or _reference_block(view),
        "reason": ids.REASON_BLOCK,
        "account": _block_of(view, ids.ACCOUNT_BLOCK) or ids.PROVIDER_BLOCK,
    }
    return {blocks.get(name, ids.PROVIDER_BLOCK): cut(advice, HINT_MAX) for name, advice in errors.items()}


def _provider_input(enabled: Sequence[Facts], chosen: Facts | None) -> Block:
    select: Block = {
        "type": "static_select",
        "action_id": ids.PROVIDER,
        "placeholder": plain_text("Choose a provider"),
        "options": [_option(facts) for facts in enabled],
    }
    if chosen:
        select["initial_option"] = _option(chosen)
    return {**_input(ids.PROVIDER_BLOCK, "Provider", select), "dispatch_action": True}


def _option(facts: Facts) -> Block:
    return {"text": plain_text(plain(facts.label, OPTION_MAX)), "value": facts.name}


def _account_input(chosen: Facts, accounts: Sequence[str], account: str) -> Block:
    options = [{"text": plain_text(plain(name, OPTION_MAX)), "value": name} for name in accounts]
    select: Block = {
        "type": "static_select",
        "action_id": ids.ACCOUNT,
        "placeholder": plain_text("Choose an account"),
        "options": options,
    }
    if account in accounts:
        select["initial_option"] = options[list(accounts).index(account)]
    return _input(f"{ids.ACCOUNT_BLOCK}.{chosen.name}", "Account", select)


def _account(view: Mapping[str, Any]) -> Mapping[str, Any]:
    return _field(view, _block_of(view, ids.ACCOUNT_BLOCK), ids.ACCOUNT)


def _reference_input(chosen: Facts | None, typed: str) -> Block:
    box: Block = {"type": "plain_text_input", "action_id": ids.REFERENCE, "max_length": REFERENCE_MAX}
    if chosen:
        box["placeholder"] = plain_text(plain(f"For example {chosen.example}", PLACEHOLDER_MAX))
    if typed and len(typed) <= REFERENCE_MAX and typed.isprintable():
        box["initial_value"] = typed  # never a part of it: that would be another order
    block_id = ids.reference_block(chosen.name if chosen else None)
    block = _input(block_id, plain(chosen.reference_label, 100) if chosen else NO_PROVIDER_YET, box)
    return {**block, "hint": plain_text(_hint(chosen))} if chosen else block


def _lines_inputs(chosen: Facts | None, form: RequestForm) -> list[Block]:
    """Two boxes: together they hold as many orders as one request may."""
    name = plain(f"{chosen.reference_label}, one per line", 100) if chosen else "One order per line"
    first = _input(
        f"{ids.LINES_BLOCK}.{chosen.name if chosen else 'any'}", name, _lines_box(ids.LINES, form.lines)
    )
    more = _input(ids.MORE_LINES_BLOCK, "More of them", _lines_box(ids.MORE_LINES, form.more_lines))
    hint = f"{_hint(chosen)} " if chosen else ""
    hint = f"{hint}A reason of its own may follow behind a comma. 200 orders at most."
    return [
        {**first, "hint": plain_text(plain(hint, HINT_MAX))},
        {**more, "optional": True, "hint": plain_text("If they did not fit above.")},
    ]


def _lines_box(action_id: str, typed: str) -> Block:
    box: Block = {
        "type": "plain_text_input",
        "action_id": action_id,
        "multiline": True,
        "max_length": LINES_MAX,
    }
    return {**box, "initial_value": typed} if typed and len(typed) <= LINES_MAX else box


def _switch(several: bool) -> Block:
    """From one order to a list of them, and back."""
    text = "Only one order" if several else "Several at once"
    button = {"type": "button", "action_id": ids.SEVERAL, "text": plain_text(text)}
    return {"type": "actions", "block_id": ids.SWITCH_BLOCK, "elements": [button]}


def _hint(facts: Facts) -> str:
    secret = "It is a secret: only a fingerprint of it is shown." if facts.reference_is_secret else ""
    parts = [capital(sentence(facts.reference_form)), capital(sentence(facts.not_to_confuse)), secret]
    return plain(" ".join(filter(None, parts)), HINT_MAX)


def _reason_input(typed: str, placeholder: str) -> Block:
    box: Block = {
        "type": "plain_text_input",
        "action_id": ids.REASON,
        "multiline": True,
        "max_length": REASON_MAX,
        "placeholder": plain_text(placeholder),
    }
    if typed:
        box["initial_value"] = cut(typed, REASON_MAX)
    return _input(ids.REASON_BLOCK, "Reason", box)


def _consequence(facts: Facts) -> Block:
    undone = "" if facts.reversible else f" *{CANNOT_BE_UNDONE}*"
    cancels = f"{capital(sentence(literal(facts.consequence)))}{undone}"
    return context(f"{cancels} Nothing is sent before other people have approved.", ids.CONSEQUENCE_BLOCK)


# --- denying one ------------------------------------------------------------------------------------


def deny_form(request: Request, facts: Facts) -> Block:
    """Asks why; repeats the order, so that nobody denies another one."""
    order = order_facts(request.order) if request.order else ""
    asked = f"{mention(request.requester.user)} asks to cancel {the_order(request, facts)}:"
    return {
        "type": "modal",
        "callback_id": ids.DENY_FORM,
        "private_metadata": json.dumps({"button": request.id}),
        "title": plain_text("Deny a cancellation"),
        "submit": plain_text("Deny"),
        "close": plain_text("Go back"),
        "blocks": [
            section(asked, ids.HEAD),
            section(quote(request.reason), ids.QUOTED_REASON),
            *([section(order, ids.ORDER_BLOCK)] if order else []),
            *denial_inputs(),
            context(f"One denial ends the request. Nothing is sent to {label(facts)}.", ids.FOOT),
        ],
    }


def read_deny_form(view: Mapping[str, Any]) -> tuple[str, str]:
    """Request ID and reason. Never raises: what is malformed is empty, and so is a reason that was neither
    chosen nor written."""
    request_id, _ = read_button(_metadata(view).get("button")) or ("", "")
    chosen = _mapping(_field(view, ids.DENIAL_BLOCK, ids.DENIAL).get("selected_option")).get("value")
    name = DENIALS.get(chosen, "") if isinstance(chosen, str) and chosen != OTHER else ""
    written = _text(_field(view, ids.REASON_BLOCK, ids.REASON).get("value"))
    return request_id, ": ".join(filter(None, [name, written]))


def denial_inputs() -> list[Block]:
    """A reason to choose, and one in one's own words."""
    written = _reason_input("", "In your own words. Everybody in the channel sees this.")
    return [_denial_input(), {**written, "optional": True}]


def _denial_input() -> Block:
    options = [{"text": plain_text(what), "value": name} for name, what in DENIALS.items()]
    # Optional, so that whoever only writes need not choose; that one of the two is there is seen to.
    buttons = {"type": "radio_buttons", "action_id": ids.DENIAL, "options": options}
    return {**_input(ids.DENIAL_BLOCK, "What is wrong with it?", buttons), "optional": True}


# --- asking the requester something -------------------------------------------------------------------


def question_form(request: Request, facts: Facts) -> Block:
    """Takes a question; says who gets it, and that it stops nothing."""
    asked = f"{mention(request.requester.user)} asks to cancel {the_order(request, facts)}:"
    return {
        "type": "modal",
        "callback_id": ids.QUESTION_FORM,
        "private_metadata": json.dumps({"button": request.id}),
        "title": plain_text("Ask a question"),
        "submit": plain_text("Ask"),
        "close": plain_text("Go back"),
        "blocks": [
            section(asked, ids.HEAD),
            section(quote(request.reason), ids.QUOTED_REASON),
            question_input(),
            context(question_note(request.expires_at), ids.FOOT),
        ],
    }


def question_input() -> Block:
    box: Block = {
        "type": "plain_text_input",
        "action_id": ids.QUESTION,
        "multiline": True,
        "max_length": REASON_MAX,
        "placeholder": plain_text("What do you need to know before you decide?"),
    }
    return _input(ids.QUESTION_BLOCK, "Question", box)


def question_note(expires_at: datetime) -> str:
    return (
        "It is posted in the thread of the card, and the person who asked is called there. The request goes "
        f"on meanwhile and expires {when(expires_at)}."
    )


def read_question_form(view: Mapping[str, Any]) -> tuple[str, str]:
    """Request ID and question. Never raises: what is malformed is empty."""
    request_id, _ = read_button(_metadata(view).get("button")) or ("", "")
    return request_id, _text(_field(view, ids.QUESTION_BLOCK, ids.QUESTION).get("value"))


# --- closing one that needs a person ------------------------------------------------------------------


@dataclass
class ClosingForm:
    request_id: str
    digest: str
    """Of what was known when the form was opened."""
    finding: Finding | None
    evidence: str


def closing_form(request: Request, facts: Facts) -> Block:
    """Asks what somebody found at the provider, and for what makes that sure."""
    order = order_facts(request.order) if request.order else ""
    head = f"{mention(request.requester.user)} asked to cancel {the_order(request, facts)}:"
    end = f"Nothing is sent to {label(facts)}. The request ends when somebody else confirms what you say."
    return {
        "type": "modal",
        "callback_id": ids.CLOSING_FORM,
        "private_metadata": json.dumps({"button": f"{request.id}:{closing_digest(request)}"}),
        "title": plain_text("What did you find?"),
        "submit": plain_text("Ask for confirmation"),
        "close": plain_text("Go back"),
        "blocks": [
            section(head, ids.HEAD),
            section(quote(request.reason), ids.QUOTED_REASON),
            *([section(f"*As it was before:* {order}", ids.ORDER_BLOCK)] if order else []),
            *([section(f"{found(request)}{REPLACED}", ids.EXPLANATION)] if request.closing else []),
            _finding_input(),
            _evidence_input(),
            context(end, ids.FOOT),
        ],
    }


def read_closing_form(view: Mapping[str, Any]) -> ClosingForm:
    """What was said. Never raises: what is missing or malformed is empty."""
    request_id, card = read_button(_metadata(view).get("button")) or ("", "")
    chosen = _mapping(_field(view, ids.FINDING_BLOCK, ids.FINDING).get("selected_option")).get("value")
    finding = next((known for known in Finding if known == chosen), None)
    evidence = _text(_field(view, ids.EVIDENCE_BLOCK, ids.EVIDENCE).get("value"))
    return ClosingForm(request_id, card, finding, evidence)


def _finding_input() -> Block:
    select: Block = {
        "type": "static_select",
        "action_id": ids.FINDING,
        "placeholder": plain_text("Choose what you found"),
        "options": [{"text": plain_text(what), "value": finding.value} for finding, what in FINDINGS.items()],
    }
    return _input(ids.FINDING_BLOCK, "What you found", select)


def _evidence_input() -> Block:
    box: Block = {
        "type": "plain_text_input",
        "action_id": ids.EVIDENCE,
        "multiline": True,
        "max_length": REASON_MAX,
        "placeholder": plain_text("Where you looked, and what it says there"),
    }
    hint = "Whoever confirms it looks there as well. Everybody in the channel sees this: no keys, no tokens."
    return {**_input(ids.EVIDENCE_BLOCK, "Evidence", box), "hint": plain_text(hint)}


# --- both -------------------------------------------------------------------------------------------


def _input(block_id: str, name: str, element: Block) -> Block:
    return {"type": "input", "block_id": block_id, "label": plain_text(name), "element": element}


def _reference_block(view: Mapping[str, Any]) -> str:
    """The block that holds the reference in this view, whatever provider it was built for."""
    return _block_of(view, ids.REFERENCE_BLOCK) or ids.reference_block(None)


def _block_of(view: Mapping[str, Any], prefix: str) -> str:
    """The first block of this view whose ID begins so; empty when there is none."""
    blocks = view.get("blocks")
    shown = [_mapping(block).get("block_id") for block in blocks] if isinstance(blocks, list) else []
    typed = list(_mapping(_mapping(view.get("state")).get("values")))
    return next((b for b in [*shown, *typed] if isinstance(b, str) and b.startswith(prefix)), "")


def _field(view: Mapping[str, Any], block_id: str, action_id: str) -> Mapping[str, Any]:
    values = _mapping(_mapping(view.get("state")).get("values"))
    return _mapping(_mapping(values.get(block_id)).get(action_id))


def _metadata(view: Mapping[str, Any]) -> Mapping[str, Any]:
    text = view.get("private_metadata")
    try:
        return _mapping(json.loads(text)) if isinstance(text, str) else {}
    except ValueError:
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
