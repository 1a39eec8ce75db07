"""Private answers, direct messages and calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.blocks.notices import (
    asked_notice,
    card_call,
    help_text,
    last_call,
    list_text,
    outcome_dm,
    reminder,
    status_text,
    unknown_provider,
    unknown_verb,
)
from bot.blocks.words import word
from bot.model import ENDED, Request, State
from tests.bot.builders import (
    HOSTILE,
    a_request,
    check_message,
    check_mrkdwn,
    longest_facts,
    longest_request,
    requests_in_every_state,
    shown,
    some_facts,
)

REQUESTS = requests_in_every_state()
CPANEL = some_facts(name="cpanel", label="cPanel Market")

every_request = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)


@every_request
def test_the_requester_hears_once_there_is_something_to_know(request_: Request) -> None:
    message = outcome_dm(request_, some_facts())
    assert (message is not None) == (request_.state in ENDED | {State.ACCEPTED, State.NEEDS_PERSON})
    if message:
        check_message(message.text, message.blocks)
        assert f"*{word(request_.state)}*" in shown(message.blocks)
        assert word(request_.state) in message.text


@every_request
def test_the_longest_and_most_hostile_request_stays_text_that_fits(request_: Request) -> None:
    hostile = replace(
        request_,
        reason=HOSTILE,
        decision="&" * 500,
        reference=longest_request().reference,
        order=longest_request().order,
        closing=replace(request_.closing, evidence=HOSTILE * 3) if request_.closing else None,
        outcome=replace(request_.outcome, said=HOSTILE) if request_.outcome else None,
    )
    if message := outcome_dm(hostile, longest_facts()):
        check_message(message.text, message.blocks)
    status = status_text(hostile, longest_facts())
    check_mrkdwn(status)
    assert len(status) <= 4000


@every_request
def test_the_status_of_a_request(request_: Request) -> None:
    text = status_text(request_, some_facts())
    assert f"*{word(request_.state)}*" in text
    assert "in <#C0APPROVE>" in text


def test_the_answer_to_a_request_says_where_how_many_and_how_to_go_on() -> None:
    text = asked_notice(REQUESTS["checking"], some_facts())
    assert "needs 2 approvals by other people in <#C0APPROVE> until <!date^" in text
    assert f"/cancel-order withdraw {REQUESTS['checking'].short_id}" in text


def test_the_call_mentions_everybody_who_may_approve_and_not_the_requester() -> None:
    text = card_call(a_request(), some_facts())
    assert text.startswith("<!subteam^S0ONCALL> <@U0BOB> <@U0CAROL> Please decide")
    assert "U0ALICE" not in text


def test_a_reminder_mentions_only_those_who_have_not_approved() -> None:
    text = reminder(REQUESTS["pending, half-way"], some_facts())
    assert text.startswith("<!subteam^S0ONCALL> <@U0CAROL> Reminder:")
    assert "still needs 1 approval (1 of 2 so far)" in text


def test_a_last_call_mentions_those_who_can_still_do_something() -> None:
    text = last_call(REQUESTS["pending, half-way"], some_facts())
    assert text.startswith("<!subteam^S0ONCALL> <@U0CAROL> The request to cancel DigiCert order ID `1042750`")
    assert "expires <!date^" in text
    assert "still needs 1 approval (1 of 2 so far)" in text
    held = last_call(REQUESTS["approved, on hold"], some_facts())
    assert held.startswith("<@U0ALICE> The request")
    assert "has not been sent. It is on hold: Slack could not be read." in held


def test_whoever_was_called_later_is_reminded_too() -> None:
    request = replace(REQUESTS["pending"], escalation=("U0BOSS",), escalated=True)
    assert "<@U0BOSS> Reminder:" in reminder(request, some_facts())


def test_a_reminder_of_what_needs_a_person_leaves_out_who_cannot_help() -> None:
    text = reminder(REQUESTS["needs a person"], some_facts())
    assert text == (
        "<!subteam^S0ONCALL> <@U0BOB> <@U0CAROL> Reminder: DigiCert order ID `1042750` needs a person. "
        "Look at it on DigiCert's own pages and say on the card what you found."
    )


def test_a_reminder_after_the_first_finding_asks_for_the_second_person() -> None:
    text = reminder(REQUESTS["needs a person, one has looked"], some_facts())
    assert text.startswith("<!subteam^S0ONCALL> <@U0CAROL> Reminder: ")
    assert "<@U0BOB> found: *cancelled at the provider*. Somebody else has to look as well" in text


@pytest.mark.parametrize("name", ["pending", "needs a person", "needs a person, one has looked"])
def test_the_longest_reminder_fits_into_a_section(name: str) -> None:
    asked = tuple(f"U{n:010}" for n in range(200))
    request = replace(REQUESTS[name], approvers=asked, reference="9" * 200)
    text = reminder(request, longest_facts())
    check_mrkdwn(text)
    assert len(text) <= 3000


def test_a_closed_request_is_told_as_what_people_found_wherever_it_is_listed() -> None:
    closed = REQUESTS["closed"]
    words = "needs a person, closed: people found it cancelled at the provider"
    message = outcome_dm(closed, some_facts())
    assert message is not None
    assert message.text.endswith(f"{words}.")
    for text in (
        shown(message.blocks),
        status_text(closed, some_facts()),
        list_text([closed], {"digicert": some_facts()}, "Ended"),
    ):
        assert words in text.replace("*", "")


def test_help_names_verbs_and_providers() -> None:
    text = help_text([some_facts(), CPANEL])
    for verb in ("help", "status &lt;id&gt;", "mine", "pending", "history", "withdraw &lt;id&gt;"):
        assert f"`/cancel-order {verb}`" in text
    assert "`digicert` DigiCert: Order ID, digits only, such as 123456" in text
    assert "None is enabled." in help_text([])


def test_a_list_has_a_line_each_and_says_how_to_see_more() -> None:
    text = list_text([a_request()] * 3, {"digicert": some_facts()}, "Waiting", more="pending 2")
    assert text.count("• ") == 3
    assert text.endswith("There are more: `/cancel-order pending 2`.")
    assert list_text([], {}, "Waiting") == "*Waiting*\nNone."


def test_a_list_still_names_orders_of_a_provider_that_is_disabled_now() -> None:
    assert "• digicert `1042750`: *waiting for approval* (0 of 2)" in list_text([a_request()], {}, "Mine")


def test_a_long_list_is_cut_at_a_line() -> None:
    text = list_text([longest_request()] * 25, {"digicert": longest_facts()}, "Waiting")
    assert len(text) <= 4000
    check_mrkdwn(text)


@pytest.mark.parametrize(
    ("typed", "meant"), [("digcert", "digicert"), ("DigiCert Inc", "digicert"), ("cpanel market", "cpanel")]
)
def test_a_misspelt_provider(typed: str, meant: str) -> None:
    text = unknown_provider(typed, [some_facts(), CPANEL])
    assert f"Did you mean `{meant}`?" in text
    assert "Enabled: `digicert` and `cpanel`." in text


def test_a_provider_nobody_knows() -> None:
    assert "Did you mean" not in unknown_provider("zzz", [some_facts()])
    assert "No provider is enabled." in unknown_provider("zzz", [])


def test_a_misspelt_verb() -> None:
    assert unknown_verb("hlep") == (
        "`hlep` is not something `/cancel-order` knows. Did you mean `help`? See `/cancel-order help`."
    )
    assert "Did you mean `status &lt;id&gt;`?" in unknown_verb("satus")


def test_what_was_typed_is_only_quoted() -> None:
    check_mrkdwn(unknown_verb(HOSTILE))
    check_mrkdwn(unknown_provider(HOSTILE, [some_facts()]))
