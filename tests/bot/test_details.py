"""What is behind *Details*: everything, in every state, and nothing to type."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.blocks.details import details_view
from bot.blocks.words import word
from bot.model import OpenQuestion, Request, digest
from tests.bot.builders import (
    BOB,
    HOSTILE,
    NOW,
    a_request,
    an_order,
    approved_by,
    check_view,
    longest_facts,
    longest_request,
    requests_in_every_state,
    shown,
    some_facts,
)

REQUESTS = requests_in_every_state()

every_request = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)


def seen(request: Request, **facts: object) -> str:
    return shown(details_view(request, some_facts(**facts))["blocks"])


@every_request
def test_slack_opens_it_in_every_state(request_: Request) -> None:
    check_view(details_view(request_, some_facts()))
    assert f"*{word(request_.state)}*" in seen(request_)


@every_request
def test_what_has_no_end_fits_and_stays_text(request_: Request) -> None:
    longest = longest_request()
    many = tuple((f"{HOSTILE}{n}", HOSTILE * 9) for n in range(60))
    order = replace(longest.order or an_order(), facts=many)
    request = replace(
        request_,
        reference=longest.reference,
        reason=longest.reason,
        account=HOSTILE,
        order=order if request_.order else None,
        decision=HOSTILE,
        held=HOSTILE if request_.held else "",
        approvers=tuple(f"U{n:010}" for n in range(300)),
    )
    check_view(details_view(request, longest_facts()))


def test_it_has_what_the_card_leaves_out() -> None:
    facts = tuple((f"Fact {n}", f"value {n}") for n in range(12))
    reason = "Ordered twice. " * 30
    request = a_request(order=an_order(facts=facts, warnings=("one", "two")), reason=reason)
    text = seen(request, warnings=("three",))
    assert all(f"• {name}: {value}" in text for name, value in facts)
    assert all(f"Warning: {warning}." in text for warning in ("one", "two", "three"))
    assert reason.strip() in text
    assert "not the certificate ID" in text
    assert "*Possible:* only while the order is pending." in text
    assert f"`{request.id}`" in text
    assert f"`{digest(request)}`" in text


def test_it_has_the_questions() -> None:
    asked = tuple(OpenQuestion(BOB, f"{HOSTILE} {n} " + "&" * 450, NOW) for n in range(20))
    view = details_view(a_request(questions=asked), longest_facts())
    check_view(view)
    assert "<@U0BOB> asked <!date^" in shown(view["blocks"])


def test_it_says_who_may_decide_and_not_the_requester() -> None:
    text = seen(approved_by(a_request()))
    assert "*Who may approve or deny:* <!subteam^S0ONCALL>, <@U0BOB> and <@U0CAROL>, and never" in text


def test_after_the_end_it_does_not_speak_as_if_it_were_still_open() -> None:
    open_ = seen(REQUESTS["pending, half-way"])
    ended = seen(REQUESTS["cancelled"])
    assert "*Needed:*" in open_
    assert "*DigiCert says:*" in open_
    assert "*Needed:*" not in ended
    assert "*As it was before:*\n*DigiCert said:* status `pending`." in ended
