"""The card, as an approver sees it in each state."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.blocks import ids
from bot.blocks.cards import CALLED_OFF, approval_card, read_button
from bot.blocks.words import FINDINGS, word
from bot.model import BEFORE_PERMIT, WORDS, Approval, Finding, Person, Request, State, closing_digest, digest
from tests.bot.builders import (
    BOB,
    CAROL,
    HOSTILE,
    NOW,
    TEAM,
    a_request,
    action_ids,
    an_order,
    approved_by,
    check_message,
    concluded,
    executing,
    found,
    longest_facts,
    longest_request,
    requests_in_every_state,
    shown,
    some_facts,
)

REQUESTS = requests_in_every_state()
SNAPSHOTS = Path(__file__).parent / "snapshots"

every_request = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)


def test_every_state_has_a_word_and_a_card() -> None:
    assert set(WORDS) == set(State)
    assert {request.state for request in REQUESTS.values()} == set(State)


@every_request
def test_slack_takes_the_card(request_: Request) -> None:
    card = approval_card(request_, some_facts())
    check_message(card.text, card.blocks)


@every_request
def test_the_same_request_gives_the_same_card(request_: Request) -> None:
    assert approval_card(request_, some_facts()) == approval_card(replace(request_), some_facts())


@every_request
def test_the_notification_is_a_sentence_with_order_and_state(request_: Request) -> None:
    text = approval_card(request_, some_facts()).text
    assert "to cancel DigiCert order ID `1042750`." in text
    assert f"State: {word(request_.state)}" in text
    assert "\n" not in text


@every_request
def test_who_asked_for_what_and_why_is_always_there(request_: Request) -> None:
    seen = shown(approval_card(request_, some_facts()).blocks)
    assert "<@U0ALICE> ask" in seen
    assert "DigiCert order ID `1042750`" in seen
    assert "> Ordered twice by mistake, see ticket 4711" in seen


@every_request
def test_there_are_at_most_eight_lines_before_the_buttons(request_: Request) -> None:
    facts = some_facts(warnings=("a reissue in progress is dropped", "and another one"))
    order = request_.order and replace(request_.order, warnings=("two certificates belong to it",))
    blocks = approval_card(replace(request_, order=order), facts).blocks
    above = [block["type"] for block in blocks].index("actions")
    assert len(shown(blocks[:above]).splitlines()) <= 8
    assert all(len(line) <= 330 for line in shown(blocks[:above]).splitlines())


@pytest.mark.parametrize("name", ["pending", "pending, half-way"])
def test_the_risk_comes_first(name: str) -> None:
    assert "*This cancels an order and cannot be undone.*" in _head(REQUESTS[name])
    assert "Cannot be undone." in approval_card(REQUESTS[name], some_facts()).text


AGREED = [
    "pending",
    "pending, half-way",
    "pending, could not be asked",
    "approved, on hold",
    "executing",
    "cancelled",
    "expired",
    "unknown",
    "needs a person",
    "needs a person, one has looked",
    "closed",
]


@pytest.mark.parametrize("name", AGREED)
def test_card_looks_as_agreed(name: str) -> None:
    """`UPDATE_SNAPSHOTS=1 pytest tests/bot/test_cards.py` accepts the cards as they are now."""
    card = approval_card(REQUESTS[name], some_facts(warnings=("a reissue in progress is dropped",)))
    seen = {"text": card.text, "blocks": card.blocks}
    file = SNAPSHOTS / f"card_{name.replace(', ', '_').replace('-', '_').replace(' ', '_')}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(json.dumps(seen, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert seen == json.loads(file.read_text(encoding="utf-8"))


# --- buttons ----------------------------------------------------------------------------------------


@every_request
def test_buttons_are_there_only_while_they_can_do_something(request_: Request) -> None:
    expected = {
        State.CHECKING: [ids.WITHDRAW],
        State.PENDING: [ids.APPROVE, ids.DENY, ids.WITHDRAW],
        State.APPROVED: [ids.DENY, ids.WITHDRAW],
        State.NEEDS_PERSON: [ids.CLOSE],
        **{ended: [ids.ASK_AGAIN] for ended in CALLED_OFF},
    }
    card = approval_card(request_, some_facts())
    wanted = expected.get(request_.state, [])
    if request_.approvals and request_.state in BEFORE_PERMIT:
        wanted = [*wanted[:-1], ids.TAKE_BACK, ids.WITHDRAW]
    if ids.DENY in wanted:
        wanted.insert(wanted.index(ids.DENY) + 1, ids.ASK)
    if request_.held and request_.state is State.APPROVED:
        wanted = [ids.APPROVE, *wanted]  # more approvals may be what is missing
    if request_.closing and request_.state is State.NEEDS_PERSON:
        wanted = [ids.CONFIRM_CLOSING, *wanted]
    assert action_ids(card.blocks) == [*wanted, ids.DETAILS]


def test_buttons_carry_the_request_and_what_is_shown_and_nothing_else() -> None:
    request = a_request()
    approve, *others = _buttons(request)
    assert read_button(approve["value"]) == (request.id, digest(request))
    assert all(read_button(button["value"]) == (request.id, "") for button in others)


def test_buttons_say_what_they_do_even_when_read_aloud() -> None:
    approve, deny, ask, withdraw, details = _buttons(a_request())
    assert [b["text"]["text"] for b in (approve, deny, ask, withdraw, details)] == [
        "Approve cancellation",
        "Deny",
        "Ask a question",
        "Withdraw",
        "Details",
    ]
    assert approve["accessibility_label"] == "Approve cancellation: DigiCert order ID 1042750"
    assert details["accessibility_label"] == "Details: DigiCert order ID 1042750"


def test_approving_is_confirmed_with_the_order_repeated() -> None:
    approve, _, _, withdraw, _ = _buttons(a_request())
    asked = approve["confirm"]["text"]["text"]
    assert asked.startswith("DigiCert order ID 1042750 (shop.example.com, ")
    assert asked.endswith("). Cannot be undone.")
    assert "DigiCert order ID 1042750" in withdraw["confirm"]["text"]["text"]


def test_a_long_reference_is_whole_in_the_dialog() -> None:
    approve = _buttons(a_request(reference="9" * 200, order=an_order(known_as="x" * 300)))[0]
    text = approve["confirm"]["text"]["text"]
    assert "9" * 200 in text
    assert "Cannot be undone." in text
    assert len(text) <= 300


def test_what_somebody_found_is_confirmed_with_order_and_evidence_repeated() -> None:
    request = REQUESTS["needs a person, one has looked"]
    confirm, other, _ = _buttons(request)
    assert [b["text"]["text"] for b in (confirm, other)] == [
        "Confirm: cancelled at the provider",
        "I found something else",
    ]
    assert confirm["confirm"]["text"]["text"] == (
        "DigiCert order ID 1042750. Somebody else found: cancelled at the provider. "
        "The order list of CertCentral shows it as Canceled, by API, 03:14."
    )
    assert {read_button(button["value"]) for button in (confirm, other)} == {
        (request.id, closing_digest(request))
    }


@pytest.mark.parametrize("finding", Finding)
def test_a_dialog_has_the_whole_reference_and_what_was_found_and_cuts_the_evidence(finding: Finding) -> None:
    closing = found(Person(TEAM, "U" * 11), finding, evidence="x" * 500)
    request = concluded(State.NEEDS_PERSON, "no answer", closing=closing, reference="9" * 200)
    text = _buttons(request)[0]["confirm"]["text"]["text"]
    assert "9" * 200 in text
    assert f"Somebody else found: {FINDINGS[finding]}." in text
    assert len(text) <= 300


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "",
        ":",
        "r1:",
        f"r1:{'a' * 63}",
        f"r1:{'A' * 64}",
        f"r1:{'a' * 64}\n",
        f"r1:{'a' * 64}:x",
        "r\u0661",
        "r" * 65,
        "../r1",
        "a" * 1_000_000,
        {"value": "r1"},
    ],
)
def test_a_value_that_is_not_ours_is_not_read(value: object) -> None:
    assert read_button(value) is None


# --- what it says -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(set(State) - BEFORE_PERMIT - {State.EXECUTING}))
def test_the_card_says_the_outcome_in_its_one_word(state: State) -> None:
    request = next(r for r in REQUESTS.values() if r.state is state)
    assert f"*{word(state)}*" in _head(request)


@pytest.mark.parametrize("state", sorted(set(State) - {State.CANCELLED}))
def test_only_a_cancelled_order_is_called_cancelled(state: State) -> None:
    request = next(r for r in REQUESTS.values() if r.state is state)
    assert "*cancelled*" not in shown(approval_card(request, some_facts()).blocks)


def test_a_pending_card_has_everything_there_is_to_decide_on() -> None:
    order = an_order(warnings=("two certificates belong to it",))
    seen = _seen(a_request(order=order), warnings=("a reissue in progress is dropped",))
    assert "*DigiCert says:* status `pending`." in seen
    assert "*shop.example.com* · Product: Secure Site · Organization: Northwind Mobile" in seen
    assert "*If cancelled:* the order is cancelled and the certificate is never issued." in seen
    assert "Warning: two certificates belong to it. 1 more in *Details*." in seen
    assert "*Approved so far:* nobody. 2 needed until <!date^" in seen
    assert "*Order:* DigiCert order ID `1042750`, account www.digicert.com northwind" in seen


def test_a_reversible_cancel_is_not_called_irreversible() -> None:
    card = approval_card(a_request(), some_facts(reversible=True))
    assert "undone" not in shown(card.blocks)


def test_it_says_who_else_may_decide_by_now() -> None:
    request = a_request(escalation=("U0BOSS", "S0DUTY"), escalate_at=NOW, escalated=True)
    assert "UTC>. <@U0BOSS> and <!subteam^S0DUTY> may decide too." in _seen(request)
    assert "may decide too" not in _seen(replace(request, escalated=False))


def test_an_expired_card_says_what_to_do() -> None:
    for name in ("expired", "expired, approved"):
        assert "*What to do:* if the order is still to be cancelled, ask again" in _seen(REQUESTS[name])


def test_half_way_it_says_who_approved_and_how_many_are_missing() -> None:
    seen = _seen(REQUESTS["pending, half-way"])
    assert "1 of 2 approvals so far." in seen
    assert "<@U0BOB>. 1 more needed until" in seen


def test_an_approval_being_checked_is_told_apart() -> None:
    seen = _seen(REQUESTS["pending, one being checked"])
    assert "<@U0CAROL> (being checked, does not count yet). 1 more needed" in seen


def test_a_provider_that_could_not_be_asked_is_said_plainly() -> None:
    seen = _seen(REQUESTS["pending, could not be asked"])
    assert "*DigiCert could not be asked:* No connection." in seen
    assert "Warning: nobody has seen this order." in seen


def test_an_approved_card_says_who_approved_and_what_comes_next() -> None:
    assert "*Approved by <@U0BOB> and <@U0CAROL>.* About to cancel …" in _head(REQUESTS["approved"])


def test_a_held_card_says_why() -> None:
    request = REQUESTS["approved, on hold"]
    assert "*On hold:* Slack could not be read. Nothing is sent meanwhile." in _head(request)
    assert "State: approved, on hold." in approval_card(request, some_facts()).text


def test_a_finished_card_names_both_approvers_the_answer_and_the_times() -> None:
    seen = _seen(REQUESTS["cancelled"])
    assert "<@U0BOB> (<!date^" in seen
    assert "<@U0CAROL> (<!date^" in seen
    assert "The order is canceled." in seen
    assert "Cancel started <!date^" in seen
    assert "Ended <!date^" in seen


def test_an_accepted_card_repeats_what_the_provider_waits_for() -> None:
    assert "waiting for the admin contact's e-mail approval" in _seen(REQUESTS["accepted"])


def test_no_answer_is_not_put_into_the_providers_mouth() -> None:
    seen = _seen(concluded(State.UNKNOWN, "The bot was interrupted."))
    assert "What happened: The bot was interrupted." in seen
    assert "DigiCert said" not in seen


def test_people_are_told_what_nobody_knows_and_what_to_do() -> None:
    seen = _seen(REQUESTS["needs a person"])
    assert "the order may or may not be cancelled. What happened: No answer within 30 s" in seen
    assert "look at the order on DigiCert's own pages, then press *Close with what you found*" in seen
    assert "It takes two people" in seen


def test_what_one_person_found_waits_for_another() -> None:
    seen = _seen(REQUESTS["needs a person, one has looked"])
    assert "Now: *needs a person*" in seen
    assert "<@U0BOB> looked at the order and said <!date^" in seen
    assert ": *cancelled at the provider*.\n> The order list of CertCentral shows it as Canceled" in seen
    assert "somebody else looks as well, and confirms it" in seen


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (Finding.CANCELLED, "people found it cancelled at the provider"),
        (Finding.NOT_CANCELLED, "people found it not cancelled, still as it was"),
        (Finding.CANNOT_BE_FOUND_OUT, "people could not find out what became of it"),
    ],
)
def test_a_closed_card_says_that_people_found_it_and_not_the_provider(finding: Finding, words: str) -> None:
    request = replace(REQUESTS["closed"], closing=found(finding=finding, confirmed_by=CAROL))
    assert _head(request) == f":busts_in_silhouette: Outcome: *needs a person, closed*: {words}"
    assert f"State: needs a person, closed: {words}." in approval_card(request, some_facts()).text
    seen = _seen(request)
    assert "<@U0CAROL> confirmed it. This is what people found; DigiCert has not confirmed it" in seen
    assert ("can be asked for anew" in seen) == (finding is not Finding.CANCELLED)


@pytest.mark.parametrize("name", ["denied", "withdrawn", "expired", "not cancellable"])
def test_what_was_stopped_before_says_that_nothing_was_sent(name: str) -> None:
    assert "Nothing was sent to DigiCert." in _seen(REQUESTS[name])


def test_what_was_tried_before_is_not_called_unsent() -> None:
    request = concluded(State.WITHDRAWN, "No connection.", decided_by=BOB)
    assert "Nothing was sent" not in _seen(request)
    assert "A cancel was tried <!date^" in _seen(request)
    assert "No connection." in _seen(request)


# --- what must not get through ----------------------------------------------------------------------


@every_request
def test_the_longest_request_still_fits(request_: Request) -> None:
    longest = longest_request()
    request = replace(
        request_,
        reference=longest.reference,
        reason=longest.reason,
        order=longest.order if request_.order else None,
        account=longest.account,
        held="&" * 300 if request_.held else "",
        decision="&" * 500,
        approvals=_many_approvals() if request_.approvals else (),
        closing=replace(request_.closing, evidence="\u202e" * 500) if request_.closing else None,
        outcome=replace(request_.outcome, said="&" * 300) if request_.outcome else None,
    )
    card = approval_card(request, longest_facts())
    check_message(card.text, card.blocks)


@every_request
def test_hostile_text_stays_text(request_: Request) -> None:
    order = an_order(
        status=HOSTILE, detail=HOSTILE, known_as=HOSTILE, facts=((HOSTILE, HOSTILE),), warnings=(HOSTILE,)
    )
    request = replace(
        request_,
        reason=HOSTILE,
        reference=HOSTILE,
        account=HOSTILE,
        decision=HOSTILE,
        held=HOSTILE if request_.held else "",
        order=order if request_.order else None,
        closing=replace(request_.closing, evidence=HOSTILE) if request_.closing else None,
        outcome=replace(request_.outcome, said=HOSTILE) if request_.outcome else None,
    )
    card = approval_card(request, some_facts())
    check_message(card.text, card.blocks)
    assert "> &lt;!channel&gt; &lt;@U1&gt;" in shown(card.blocks)


def test_a_long_fact_does_not_hide_the_next_one() -> None:
    order = an_order(facts=(("First", "x" * 3000), ("Last", "still there")))
    assert "Last: still there" in _seen(a_request(order=order))


def test_facts_that_do_not_fit_are_counted() -> None:
    order = an_order(facts=tuple((f"Fact {n}", "x") for n in range(11)))
    assert "7 more in *Details*" in _seen(a_request(order=order))
    assert "3 more not shown" in _seen(executing(order=order))


def test_the_card_holds_no_address_of_a_provider() -> None:
    assert "https://" not in _seen(a_request())


def test_a_card_for_more_people_than_fit_counts_the_rest() -> None:
    request = a_request(quorum=40, approvals=_many_approvals())
    assert "and 5 more. 20 more needed" in _seen(request)


def test_text_of_a_card_is_never_parsed_for_links() -> None:
    card = approval_card(approved_by(a_request(), BOB, CAROL), some_facts())
    texts: list[dict[str, Any]] = [b["text"] for b in card.blocks if b["type"] == "section"]
    assert all(text["verbatim"] for text in texts)


def _many_approvals() -> tuple[Approval, ...]:
    return tuple(Approval(Person(TEAM, f"U0PERSON{n:03}"), "d", NOW, True) for n in range(20))


def _seen(request: Request, **facts: Any) -> str:
    return shown(approval_card(request, some_facts(**facts)).blocks)


def _head(request: Request) -> str:
    text: str = approval_card(request, some_facts()).blocks[0]["text"]["text"]
    return text.splitlines()[0]


def _buttons(request: Request) -> list[dict[str, Any]]:
    rows = [b for b in approval_card(request, some_facts()).blocks if b["type"] == "actions"]
    return [button for row in rows for button in row["elements"]]
