"""Who may approve, as far as Slack has said so within the last minute."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import pytest
from structlog.testing import capture_logs

from bot.directory import FRESH, Directory
from bot.model import Eligibility, Person
from bot.slack import Profile, SlackProblem
from tests.bot.builders import ALICE, BOB, CAROL, DAVE, TEAM

YES, NO, UNSURE = Eligibility.ELIGIBLE, Eligibility.NOT_ELIGIBLE, Eligibility.CANNOT_TELL
ONCALL, OTHER = "S0ONCALL", "S0OTHER"
MEMBER = Profile(team=TEAM, is_deactivated=False, is_bot=False, is_guest=False, is_stranger=False)


T = TypeVar("T")


async def _at_once() -> None:
    return


@dataclass
class Slack:
    """What Slack would say, and the calls it was asked."""

    profiles: dict[str, Profile] = field(
        default_factory=lambda: {person.user: MEMBER for person in (ALICE, BOB, CAROL, DAVE)}
    )
    groups: dict[str, frozenset[str]] = field(default_factory=lambda: {ONCALL: frozenset({BOB.user})})
    problem: str = ""
    retry_after: timedelta | None = None
    asked: list[str] = field(default_factory=list)
    on_the_way: Callable[[], Awaitable[object]] = _at_once
    """What happens between Slack's answer and its arrival."""

    async def profile(self, user: str) -> Profile:
        return await self._answer(user, self.profiles, "user_not_found")

    async def group_members(self, group: str) -> frozenset[str]:
        return await self._answer(group, self.groups, "no_such_subteam")

    async def _answer(self, name: str, known: dict[str, T], missing: str) -> T:
        self.asked.append(name)
        answer, problem = known.get(name), self.problem or missing
        failed = answer is None or bool(self.problem)
        await self.on_the_way()
        if self.retry_after:
            raise SlackProblem("ratelimited", self.retry_after)
        if answer is None or failed:
            raise SlackProblem(problem)
        return answer


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def slack() -> Slack:
    return Slack()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def directory(slack: Slack, seconds: Seconds) -> Directory:
    return Directory(slack, TEAM, seconds)


async def judged(
    directory: Directory, person: Person, *lists: list[str], max_age: float = FRESH
) -> Eligibility:
    return (await directory.judge(person, *lists, max_age=max_age)).answer


async def test_what_was_known_ages_while_the_machine_is_suspended(
    slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A monotonic clock stands still meanwhile, and people may have left."""
    directory = Directory(slack, TEAM)
    assert await judged(directory, BOB, [BOB.user]) is YES
    assert directory.known(BOB, [BOB.user]).answer is YES
    real = time.clock_gettime
    suspended = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + 2 * FRESH * (clock == suspended))
    assert directory.known(BOB, [BOB.user]).answer is UNSURE


# --- lists ------------------------------------------------------------------------------------------------


async def test_who_is_named_or_in_a_named_group_may_approve(directory: Directory) -> None:
    assert await judged(directory, CAROL, [CAROL.user]) is YES
    assert await judged(directory, BOB, [CAROL.user, ONCALL]) is YES
    assert await judged(directory, DAVE, [CAROL.user, ONCALL]) is NO
    assert await judged(directory, DAVE, []) is NO


async def test_a_verdict_says_whom_it_is_about_and_why(directory: Directory) -> None:
    verdict = await directory.judge(BOB, [ONCALL])
    assert (verdict.person, verdict.why) == (BOB, f"member of the user group {ONCALL}")
    assert "list" in (await directory.judge(DAVE, [ONCALL])).why


async def test_both_lists_have_to_agree(directory: Directory, slack: Slack) -> None:
    frozen, present = [BOB.user, CAROL.user], [CAROL.user, DAVE.user]
    answers = [await judged(directory, person, frozen, present) for person in (BOB, CAROL, DAVE)]
    assert answers == [NO, YES, NO]
    slack.groups[OTHER] = frozenset()
    assert await judged(directory, BOB, [ONCALL], [OTHER]) is NO


async def test_a_group_that_cannot_be_read_is_not_an_empty_group(directory: Directory) -> None:
    """A group that was deleted or disabled answers with an error as well."""
    assert await judged(directory, BOB, [OTHER]) is UNSURE
    assert await judged(directory, BOB, [OTHER, ONCALL]) is YES, "one group is enough"
    assert await judged(directory, DAVE, [OTHER, ONCALL]) is UNSURE, "the other one may have him"
    assert await judged(directory, BOB, [ONCALL], [OTHER]) is UNSURE
    assert await judged(directory, DAVE, [ONCALL], [OTHER]) is NO, "one list is sure that he is not"


# --- people -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_guest": True}, "a guest"),
        ({"is_bot": True}, "a bot"),
        ({"is_deactivated": True}, "a deactivated account"),
        ({"is_stranger": True}, "from another workspace"),
        ({"team": "T0OTHER"}, "from another workspace"),
    ],
)
async def test_only_full_members_may_approve_even_if_they_are_listed(
    directory: Directory, slack: Slack, changes: dict[str, object], why: str
) -> None:
    slack.profiles[BOB.user] = replace(MEMBER, **changes)  # type: ignore[arg-type]
    for names in ([BOB.user], [ONCALL]):
        verdict = await directory.judge(BOB, names)
        assert (verdict.answer, verdict.why) == (NO, why)


async def test_somebody_who_clicks_from_another_workspace_is_not_the_one_of_ours_with_that_id(
    directory: Directory,
) -> None:
    assert await judged(directory, BOB, [BOB.user]) is YES
    assert await judged(directory, Person("T0OTHER", BOB.user), [BOB.user]) is NO


@pytest.mark.parametrize("code", ["user_not_found", "user_not_visible"])
async def test_whom_slack_does_not_know_is_not_a_member(
    directory: Directory, slack: Slack, code: str
) -> None:
    slack.problem = code
    verdict = await directory.judge(BOB, [BOB.user])
    assert (verdict.answer, verdict.why) == (NO, "not a member of this workspace")
    assert directory.is_present(BOB) is NO


@pytest.mark.parametrize("code", ["ratelimited", "missing_scope", "no_answer_TimeoutError", "http_500"])
async def test_a_profile_that_cannot_be_read_tells_nothing(
    directory: Directory, slack: Slack, code: str
) -> None:
    slack.problem = code
    assert await judged(directory, BOB, [BOB.user]) is UNSURE
    assert directory.is_present(BOB) is UNSURE
    assert await judged(directory, DAVE, [BOB.user]) is NO, "not on the list, whoever he is"


async def test_whether_somebody_is_still_there_does_not_depend_on_lists(
    directory: Directory, slack: Slack
) -> None:
    slack.profiles[CAROL.user] = replace(MEMBER, is_deactivated=True)
    slack.profiles[DAVE.user] = replace(MEMBER, is_guest=True)
    assert directory.is_present(ALICE) is UNSURE, "nobody has asked yet"
    await directory.ask([ALICE, CAROL, DAVE])
    assert [directory.is_present(one) for one in (ALICE, CAROL, DAVE)] == [YES, NO, YES]


# --- age --------------------------------------------------------------------------------------------------


async def test_known_never_asks(directory: Directory, slack: Slack) -> None:
    assert directory.known(BOB, [ONCALL]).answer is UNSURE
    assert slack.asked == []
    await directory.refresh([ONCALL])
    assert directory.known(BOB, [ONCALL]).answer is YES


async def test_an_answer_counts_for_a_minute_and_then_tells_nothing(
    directory: Directory, seconds: Seconds
) -> None:
    await directory.refresh([ONCALL, CAROL.user])
    seconds.now += FRESH - 0.1
    known = [directory.known(one, [ONCALL, CAROL.user]).answer for one in (BOB, CAROL)]
    assert known == [YES, YES]
    assert directory.is_present(BOB) is YES
    seconds.now += 0.1
    known = [directory.known(one, [ONCALL, CAROL.user]).answer for one in (BOB, CAROL)]
    assert known == [UNSURE, UNSURE]
    assert directory.is_present(BOB) is UNSURE


async def test_judging_asks_again_only_for_what_is_older_than_it_may_be(
    directory: Directory, slack: Slack, seconds: Seconds
) -> None:
    await judged(directory, BOB, [ONCALL])
    assert sorted(slack.asked) == sorted([ONCALL, BOB.user])
    seconds.now += 14
    await judged(directory, BOB, [ONCALL], max_age=15)
    assert len(slack.asked) == 2
    slack.groups[ONCALL] = frozenset({CAROL.user})
    seconds.now += 1
    assert await judged(directory, BOB, [ONCALL], max_age=15) is NO
    assert len(slack.asked) == 4


async def test_asking_asks_whatever_is_known(directory: Directory, slack: Slack) -> None:
    await directory.ask([BOB], [ONCALL])
    slack.groups[ONCALL] = frozenset()
    await directory.ask([BOB], [ONCALL])
    assert slack.asked.count(ONCALL) == slack.asked.count(BOB.user) == 2
    assert directory.known(BOB, [ONCALL], max_age=15).answer is NO


async def test_a_failing_refresh_neither_erases_nor_prolongs_what_was_known(
    directory: Directory, slack: Slack, seconds: Seconds
) -> None:
    await directory.refresh([ONCALL])
    slack.problem = "ratelimited"
    seconds.now += 40
    await directory.refresh([ONCALL])
    assert directory.known(BOB, [ONCALL]).answer is YES
    assert directory.known(DAVE, [ONCALL]).answer is NO
    seconds.now += 20
    assert directory.known(BOB, [ONCALL]).answer is UNSURE
    assert directory.known(DAVE, [ONCALL]).answer is UNSURE
    slack.problem = ""
    await directory.refresh([ONCALL])
    assert directory.known(BOB, [ONCALL]).answer is YES


@pytest.mark.parametrize("code", ["invalid_auth", "token_revoked", "account_inactive", "missing_scope"])
async def test_what_slack_said_before_it_refused_our_token_counts_no_more(
    directory: Directory, slack: Slack, code: str
) -> None:
    await directory.ask([BOB], [ONCALL])
    slack.problem = code
    await directory.ask([BOB], [ONCALL])
    by_group, by_name = directory.known(BOB, [ONCALL]), directory.known(BOB, [BOB.user])
    assert (by_group.answer, by_name.answer) == (UNSURE, UNSURE)
    assert "user group" in by_group.why
    assert "profile" in by_name.why


async def test_an_answer_is_as_old_as_its_question(
    directory: Directory, slack: Slack, seconds: Seconds
) -> None:
    """Slack may have looked just before somebody was removed, and answered long after."""

    async def slowly() -> None:
        seconds.now += 30

    slack.on_the_way = slowly
    await directory.ask([BOB])
    assert directory.is_present(BOB, max_age=31) is YES
    assert directory.is_present(BOB, max_age=30) is UNSURE


async def test_what_was_just_fetched_counts_however_long_it_took(
    directory: Directory, slack: Slack, seconds: Seconds
) -> None:
    async def slowly() -> None:
        seconds.now += 20

    slack.on_the_way = slowly
    assert await judged(directory, BOB, [BOB.user], max_age=15) is YES


async def test_a_late_answer_does_not_replace_one_to_a_later_question(
    directory: Directory, slack: Slack, seconds: Seconds
) -> None:
    """Somebody is removed while the answer to an older question is still on its way."""
    asked, held = asyncio.Barrier(3), asyncio.Event()

    async def slowly() -> None:
        await asked.wait()
        await held.wait()

    slack.on_the_way = slowly
    first = asyncio.create_task(directory.ask([BOB], [ONCALL]))
    await asked.wait()
    slack.on_the_way = _at_once
    seconds.now += 5
    slack.groups[ONCALL], slack.profiles[BOB.user] = frozenset(), replace(MEMBER, is_deactivated=True)
    await directory.ask([BOB], [ONCALL])
    held.set()
    await first
    assert directory.known(BOB, [ONCALL]).why == "not on the list of approvers"
    assert directory.known(BOB, [BOB.user]).why == "a deactivated account"


async def test_a_refresh_learns_about_everybody_who_is_listed_or_in_a_listed_group(
    directory: Directory, slack: Slack
) -> None:
    await directory.refresh([ONCALL, CAROL.user], [DAVE.user])
    assert set(slack.asked) == {ONCALL, BOB.user, CAROL.user, DAVE.user}


async def test_a_refresh_of_many_begins_with_those_of_whom_nothing_was_heard_for_longest(
    directory: Directory, slack: Slack, seconds: Seconds
) -> None:
    people = [ALICE.user, BOB.user, CAROL.user]
    asked: list[set[str]] = []
    for _ in range(3):
        slack.asked.clear()
        await directory.refresh(people, at_most=2)
        asked.append(set(slack.asked))
        seconds.now += 1
    assert all(len(each) == 2 for each in asked)
    assert asked[0] | asked[1] == asked[1] | asked[2] == set(people)


async def test_while_slack_wants_silence_about_people_it_is_asked_about_groups_alone(
    directory: Directory, slack: Slack, seconds: Seconds
) -> None:
    slack.retry_after = timedelta(seconds=30)
    await directory.ask([BOB], [ONCALL])
    slack.retry_after = None
    slack.asked.clear()
    seconds.now += 29
    await directory.ask([BOB, CAROL], [ONCALL, OTHER])
    assert slack.asked == [], "it said so about both"
    seconds.now += 1
    await directory.ask([BOB], [ONCALL])
    assert set(slack.asked) == {BOB.user, ONCALL}
    assert directory.known(BOB, [ONCALL]).answer is YES


async def test_an_on_call_source_is_asked_although_slack_wants_silence(
    directory: Directory, slack: Slack
) -> None:
    slack.groups["pagerduty:P1"] = frozenset({BOB.user})
    slack.retry_after = timedelta(seconds=30)
    await directory.ask([], [ONCALL])
    slack.retry_after = None
    await directory.ask([], ["pagerduty:P1", ONCALL])
    assert slack.asked == [ONCALL, "pagerduty:P1"]


async def test_whoever_is_met_is_waited_for_but_not_for_long(
    directory: Directory, slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await directory.meet(BOB)
    assert directory.standing(BOB).answer is YES
    await directory.meet(BOB)
    assert slack.asked == [BOB.user]
    monkeypatch.setattr("bot.directory.A_MOMENT", 0.05)
    answered = asyncio.Event()
    slack.on_the_way = answered.wait
    async with asyncio.timeout(5):
        await directory.meet(CAROL)
    assert directory.standing(CAROL).answer is UNSURE
    answered.set()
    await asyncio.gather(*directory._meeting)
    assert directory.standing(CAROL).answer is YES, "when they try again"


async def test_a_mistake_while_somebody_is_asked_about_is_in_the_log(
    directory: Directory, slack: Slack
) -> None:
    async def breaks() -> None:
        raise LookupError

    slack.on_the_way = breaks
    with capture_logs() as log:
        await directory.meet(BOB)
        await asyncio.sleep(0)
    assert [line["event"] for line in log] == ["directory_not_asked"]


async def test_an_answer_that_is_young_enough_is_not_asked_for_again(
    directory: Directory, slack: Slack, seconds: Seconds
) -> None:
    await directory.ask([BOB], [ONCALL])
    seconds.now += 4
    await directory.ask([BOB, CAROL], [ONCALL], max_age=5)
    assert slack.asked.count(BOB.user) == slack.asked.count(ONCALL) == 1
    assert CAROL.user in slack.asked


async def test_one_thing_that_cannot_be_read_does_not_hide_the_others(
    directory: Directory, slack: Slack
) -> None:
    await directory.refresh([OTHER, ONCALL, CAROL.user])
    assert directory.known(BOB, [ONCALL]).answer is YES
    assert directory.known(CAROL, [CAROL.user]).answer is YES
    assert directory.known(CAROL, [OTHER]).answer is UNSURE
