"""Forms: what people see, and what is read back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.blocks import ids
from bot.blocks.forms import (
    REASON_MAX,
    ClosingForm,
    RequestForm,
    closing_form,
    deny_form,
    form_errors,
    question_form,
    read_closing_form,
    read_deny_form,
    read_question_form,
    read_request_form,
    request_form,
)
from bot.model import Finding, State, closing_digest
from tests.bot.builders import (
    HOSTILE,
    a_request,
    an_order,
    check_view,
    concluded,
    found,
    longest_facts,
    longest_request,
    shown,
    some_facts,
)

CPANEL = some_facts(
    name="cpanel",
    label="cPanel Market",
    reference_label="Order item ID",
    reference_form="digits only, such as 10427508",
    not_to_confuse="not the order ID",
    example="10427508",
)
ENABLED = [some_facts(), CPANEL]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "state",
                    "values",
                    "blocks",
                    "block_id",
                    "provider_block",
                    "reason_block",
                    "reason",
                    "finding_block",
                    "finding",
                    "selected_option",
                    "value",
                    "evidence_block",
                    "evidence",
                ]
            ),
            inside,
            max_size=4,
        )
    ),
)


def submitted(view: dict[str, Any], provider: str | None, reference: str, reason: str) -> dict[str, Any]:
    """The view as Slack sends it back."""
    option = {"value": provider} if provider else None
    typed = {
        ids.PROVIDER_BLOCK: {ids.PROVIDER: {"selected_option": option}},
        view["blocks"][1]["block_id"]: {ids.REFERENCE: {"value": reference}},
        ids.REASON_BLOCK: {ids.REASON: {"value": reason}},
    }
    return {**view, "state": {"values": typed}}


def inputs(view: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {block["label"]["text"]: block for block in view["blocks"] if block["type"] == "input"}


@pytest.mark.parametrize("provider", [None, "digicert", "cpanel", "gone"])
def test_slack_takes_the_form(provider: str | None) -> None:
    check_view(
        request_form(RequestForm(provider=provider, reference="1", reason="Why", origin="C1"), ENABLED)
    )


def test_nothing_chosen_yet() -> None:
    view = request_form(RequestForm(), ENABLED)
    assert list(inputs(view)) == ["Provider", "Order ID, number or token", "Reason"]
    assert [o["text"]["text"] for o in inputs(view)["Provider"]["element"]["options"]] == [
        "DigiCert",
        "cPanel Market",
    ]


def test_a_chosen_provider_names_its_reference_and_its_consequence() -> None:
    view = request_form(RequestForm(provider="cpanel"), ENABLED)
    block = inputs(view)["Order item ID"]
    assert block["hint"]["text"] == "Digits only, such as 10427508. Not the order ID."
    assert block["element"]["placeholder"]["text"] == "For example 10427508"
    assert "The order is cancelled and the certificate is never issued. *Cannot be undone.*" in shown(
        view["blocks"]
    )


def test_a_secret_reference_says_so() -> None:
    view = request_form(RequestForm(provider="digicert"), [some_facts(reference_is_secret=True)])
    assert "only a fingerprint of it is shown" in shown(view["blocks"])


def test_the_only_provider_is_chosen_already() -> None:
    assert "initial_option" in inputs(request_form(RequestForm(), [CPANEL]))["Provider"]["element"]


def test_choosing_a_provider_changes_the_form_and_keeps_what_was_typed() -> None:
    before = request_form(RequestForm(provider="digicert"), ENABLED)
    after = request_form(RequestForm(provider="cpanel", reference="123", reason="Twice"), ENABLED)
    assert inputs(before)["Provider"]["dispatch_action"] is True
    assert inputs(before)["Order ID"]["block_id"] != inputs(after)["Order item ID"]["block_id"]
    assert inputs(after)["Order item ID"]["element"]["initial_value"] == "123"
    assert inputs(before)["Reason"]["block_id"] == inputs(after)["Reason"]["block_id"]


@pytest.mark.parametrize("reference", ["9" * 201, "12\n34", "\u202e12"])
def test_a_reference_that_cannot_be_shown_whole_is_not_filled_in(reference: str) -> None:
    view = request_form(RequestForm(provider="digicert", reference=reference), ENABLED)
    assert "initial_value" not in inputs(view)["Order ID"]["element"]
    check_view(view)


def test_a_reason_that_is_too_long_is_visibly_cut() -> None:
    view = request_form(RequestForm(reason="x" * 900), ENABLED)
    box = inputs(view)["Reason"]["element"]
    assert box["initial_value"] == "x" * (REASON_MAX - 1) + "…"
    assert box["max_length"] == REASON_MAX


@pytest.mark.parametrize("provider", [None, "digicert"])
def test_what_was_typed_is_read_back(provider: str | None) -> None:
    view = request_form(RequestForm(provider=provider, origin="C1"), ENABLED)
    form = read_request_form(submitted(view, "cpanel", " 12 ", "\nTwice\n"))
    assert form == RequestForm("cpanel", "12", "Twice", "C1")


@given(JSON)
def test_reading_never_fails(state: object) -> None:
    view = {"state": state, "blocks": state, "private_metadata": json.dumps(state)}
    form = read_request_form(view)
    assert all(isinstance(text, str) for text in (form.reference, form.reason, form.origin))
    assert len(read_deny_form(view)) == 2
    assert len(read_question_form(view)) == 2
    assert isinstance(read_closing_form(view).evidence, str)
    assert form_errors({"reference": "x"}, view)


@pytest.mark.parametrize(
    "view",
    [{}, {"state": None}, {"state": {"values": []}}, {"private_metadata": "{"}, {"private_metadata": "7"}],
)
def test_a_malformed_view_is_an_empty_form(view: dict[str, Any]) -> None:
    assert read_request_form(view) == RequestForm(None, "", "", "")
    assert read_deny_form(view) == ("", "")
    assert read_closing_form(view) == ClosingForm("", "", None, "")


@pytest.mark.parametrize("provider", [None, "digicert", "cpanel"])
def test_advice_appears_at_the_field_it_is_about(provider: str | None) -> None:
    view = request_form(RequestForm(provider=provider), ENABLED)
    errors = form_errors({"provider": "a", "reference": "b", "reason": "c"}, submitted(view, None, "", ""))
    assert errors == {block["block_id"]: advice for block, advice in zip(view["blocks"], "abc", strict=False)}


def test_the_form_for_a_denial_repeats_the_order_and_knows_the_request() -> None:
    request = a_request()
    view = deny_form(request, some_facts())
    check_view(view)
    seen = shown(view["blocks"])
    assert "<@U0ALICE> asks to cancel DigiCert order ID `1042750`" in seen
    assert "*shop.example.com*" in seen
    typed = {ids.REASON_BLOCK: {ids.REASON: {"value": " No. "}}}
    sent = {**view, "state": {"values": typed}}
    assert read_deny_form(sent) == (request.id, "No.")


@pytest.mark.parametrize(
    ("chosen", "written", "reason"),
    [
        ("wrong_order", None, "Wrong order"),
        ("too_late", " It has been paid. ", "Too late to be useful: It has been paid."),
        ("other", "It has been paid.", "It has been paid."),
        (None, "It has been paid.", "It has been paid."),
        ("other", "  ", ""),
        (None, None, ""),
        ("never offered", None, ""),
        (["wrong_order"], None, ""),
    ],
)
def test_a_denial_is_chosen_or_written_or_both(chosen: object, written: str | None, reason: str) -> None:
    typed = {
        ids.DENIAL_BLOCK: {ids.DENIAL: {"selected_option": {"value": chosen}}},
        ids.REASON_BLOCK: {ids.REASON: {"value": written}},
    }
    view = deny_form(a_request(), some_facts())
    assert read_deny_form({**view, "state": {"values": typed}})[1] == reason


def test_the_form_for_a_question_says_what_becomes_of_it_and_is_read_back() -> None:
    view = question_form(a_request(), some_facts())
    check_view(view)
    assert "expires <!date^" in shown(view["blocks"])
    typed = {ids.QUESTION_BLOCK: {ids.QUESTION: {"value": " Why now? "}}}
    assert read_question_form({**view, "state": {"values": typed}}) == (a_request().id, "Why now?")


@pytest.mark.parametrize("finding", Finding)
def test_the_form_for_a_finding_repeats_the_order_and_is_read_back(finding: Finding) -> None:
    request = concluded(State.NEEDS_PERSON, "no answer", ended_at=None)
    view = closing_form(request, some_facts())
    check_view(view)
    seen = shown(view["blocks"])
    assert "<@U0ALICE> asked to cancel DigiCert order ID `1042750`" in seen
    assert "*As it was before:* *shop.example.com*" in seen
    typed = {
        ids.FINDING_BLOCK: {ids.FINDING: {"selected_option": {"value": finding.value}}},
        ids.EVIDENCE_BLOCK: {ids.EVIDENCE: {"value": " It says so. "}},
    }
    sent = read_closing_form({**view, "state": {"values": typed}})
    assert sent == ClosingForm(request.id, closing_digest(request), finding, "It says so.")


def test_a_finding_nobody_offered_is_none() -> None:
    typed = {ids.FINDING_BLOCK: {ids.FINDING: {"selected_option": {"value": "confirmed by the provider"}}}}
    assert read_closing_form({"state": {"values": typed}}).finding is None


def test_whoever_found_something_else_sees_what_it_takes_the_place_of() -> None:
    request = concluded(State.NEEDS_PERSON, "no answer", ended_at=None, closing=found())
    view = closing_form(request, some_facts())
    check_view(view)
    assert "<@U0BOB> looked at the order" in shown(view["blocks"])
    assert "takes the place of that" in shown(view["blocks"])


@pytest.mark.parametrize("evidence", [HOSTILE, "&" * 500, "\u202e" * 500])
def test_the_longest_and_the_most_hostile_finding_still_opens_the_form(evidence: str) -> None:
    request = replace(longest_request(), state=State.NEEDS_PERSON, closing=found(evidence=evidence))
    check_view(closing_form(request, longest_facts()))


def test_the_longest_and_the_most_hostile_forms_still_open() -> None:
    hostile = a_request(reason=HOSTILE, order=an_order(known_as=HOSTILE), reference=HOSTILE)
    for request in (longest_request(), hostile, replace(longest_request(), order=None)):
        check_view(deny_form(request, longest_facts()))
        check_view(question_form(request, longest_facts()))
    check_view(
        request_form(RequestForm(provider="digicert", reason=HOSTILE, reference="9" * 200), [longest_facts()])
    )
