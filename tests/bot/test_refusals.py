"""What somebody reads whose click did not count."""

from __future__ import annotations

import pytest

from bot.blocks.refusals import refusal
from bot.model import Person
from tests.bot.builders import ALICE, BOB, CAROL, DAVE, check_mrkdwn, requests_in_every_state

REQUESTS = requests_in_every_state()


@pytest.mark.parametrize(
    ("rule", "who", "says"),
    [
        (
            "own_request",
            ALICE,
            "Those who may approve or deny: <!subteam^S0ONCALL>, <@U0BOB> and <@U0CAROL>.",
        ),
        (
            "not_approver",
            DAVE,
            "Those who may approve or deny: <!subteam^S0ONCALL>, <@U0BOB> and <@U0CAROL>.",
        ),
        ("cannot_verify", BOB, "Those who may approve or deny: <!subteam^S0ONCALL> and <@U0CAROL>."),
        ("not_requester", BOB, "<@U0ALICE> asked; <!subteam^S0ONCALL> and <@U0CAROL> may approve or deny."),
        ("no_approval", CAROL, "Approved so far by <@U0BOB>."),
        ("expired", BOB, "Whoever may ask can do so with `/cancel-order`."),
        ("old_card", BOB, "Your click changed nothing."),
    ],
)
def test_a_click_that_does_not_count_is_told_why_and_who_can(rule: str, who: Person, says: str) -> None:
    text = refusal(REQUESTS["pending, half-way"], rule, "This is why.", who)
    assert text.startswith("This is why. Your click changed nothing.")
    assert text.endswith(says)
    check_mrkdwn(text)


def test_nobody_is_named_for_what_nobody_can_do_any_more() -> None:
    text = refusal(REQUESTS["cancelled"], "not_approver", "This is why.", DAVE)
    assert text == "This is why. Your click changed nothing."
    found_alone = refusal(REQUESTS["needs a person"], "own_finding", "This is why.", BOB)
    assert found_alone.endswith("Those who may say what they found: <!subteam^S0ONCALL> and <@U0CAROL>.")
