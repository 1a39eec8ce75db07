"""PagerDuty's answers, and what the directory makes of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.on_call import CannotRead, PagerDuty, Sources, read_on_calls
from bot.slack import Profile, SlackProblem
from providers.http import Answer, HttpLimits
from sandbox.pagerduty import PretendPagerDuty

SCHEDULE = "PABC123"


def answer(status: int = 200, **content: Any) -> Answer:
    return Answer(status, {}, json.dumps(content).encode())


def entry(email: object = "bob@northwind.example", schedule: object = SCHEDULE) -> dict[str, Any]:
    return {"schedule": {"id": schedule}, "user": {"id": "PBOB", "email": email}}


def test_everybody_in_the_list_is_on_call_and_each_once() -> None:
    entries = [entry(), entry("carol@northwind.example"), entry()]
    found = read_on_calls(answer(oncalls=entries, more=False), SCHEDULE)
    assert found == {"bob@northwind.example", "carol@northwind.example"}


def test_nobody_on_call_is_an_answer() -> None:
    assert read_on_calls(answer(oncalls=[], more=False), SCHEDULE) == frozenset()


@pytest.mark.parametrize(
    "unusable",
    [
        answer(401, error={"message": "Unauthorized"}),
        answer(429),
        answer(500),
        answer(oncalls=[entry()], more=True),
        answer(oncalls=[entry()]),
        answer(oncalls=None, more=False),
        answer(oncalls=[entry(schedule="POTHER1")], more=False),
        answer(oncalls=[{"schedule": None, "user": {"email": "bob@northwind.example"}}], more=False),
        answer(oncalls=[entry(email=None)], more=False),
        answer(oncalls=[entry(email="bob")], more=False),
        answer(oncalls=["bob@northwind.example"], more=False),
        Answer(200, {}, b"<html>log in</html>"),
        Answer(200, {}, b""),
    ],
    ids=lambda unusable: f"{unusable.status} {unusable.body[:60].decode()}",
)
def test_whatever_is_not_the_whole_list_of_this_schedule_is_no_list(unusable: Answer) -> None:
    with pytest.raises(CannotRead):
        read_on_calls(unusable, SCHEDULE)


class Slack:
    """Two people have an address, and one user group is known."""

    async def profile(self, user: str) -> Profile:
        raise SlackProblem("user_not_found")

    async def group_members(self, group: str) -> frozenset[str]:
        return frozenset({"U0GROUP"})

    async def user_by_email(self, email: str) -> str | None:
        if email.startswith("broken"):
            raise SlackProblem("ratelimited")
        return {"bob@northwind.example": "U0BOB", "carol@northwind.example": "U0CAROL"}.get(email)


@pytest.fixture
async def pagerduty() -> AsyncIterator[PretendPagerDuty]:
    async with PretendPagerDuty() as started:
        yield started
        assert started.problems == []


def sources(pagerduty: PretendPagerDuty, key: str | None = None) -> Sources:
    return Sources(Slack(), [PagerDuty(key or pagerduty.key, pagerduty.url, HttpLimits(timeout=2))])


async def test_people_on_call_are_found_in_slack_by_their_address(pagerduty: PretendPagerDuty) -> None:
    pagerduty.on_call[SCHEDULE] = ["bob@northwind.example", "nobody@northwind.example"]
    assert await sources(pagerduty).group_members(f"pagerduty:{SCHEDULE}") == {"U0BOB"}


async def test_user_groups_are_still_slack_s(pagerduty: PretendPagerDuty) -> None:
    assert await sources(pagerduty).group_members("S0ONCALL") == {"U0GROUP"}
    assert pagerduty.asked == 0


@pytest.mark.parametrize("name", ["opsgenie:x", "pagerduty:"])
async def test_a_schedule_of_a_source_that_is_not_set_up_cannot_be_read(name: str) -> None:
    with pytest.raises(CannotRead):
        await Sources(Slack()).group_members(name)


async def test_a_key_that_is_refused_tells_nobody_and_is_in_no_error(pagerduty: PretendPagerDuty) -> None:
    with pytest.raises(CannotRead) as caught:
        await sources(pagerduty, key="s3cret-key").group_members(f"pagerduty:{SCHEDULE}")
    assert caught.value.code == "pagerduty_http_401"
    assert "s3cret-key" not in repr(caught.value)


async def test_slack_that_does_not_say_who_it_is_makes_the_list_unreadable(
    pagerduty: PretendPagerDuty,
) -> None:
    pagerduty.on_call[SCHEDULE] = ["bob@northwind.example", "broken@northwind.example"]
    with pytest.raises(SlackProblem):
        await sources(pagerduty).group_members(f"pagerduty:{SCHEDULE}")
