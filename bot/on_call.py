"""Who is on call, from a source outside Slack, as one more kind of group.

A name such as `pagerduty:PABC123` may stand wherever a Slack user group may: in a list of approvers, in
the list that is frozen into a request, in the history. The directory asks the source for its members,
keeps them for a minute like everything else, and takes "cannot be read" for "cannot tell".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from bot.slack import Profile, SlackProblem
from providers.http import Answer, Http, HttpLimits, NoAnswer

PAGERDUTY = "pagerduty"
MOST_PEOPLE = 100
"""In one schedule at one time; more than that is no on-call list."""


class CannotRead(SlackProblem):
    """The source did not say who is on call."""


class OnCallSource(Protocol):
    """One system that knows who is on call."""

    name: str
    """What the names of its schedules begin with."""

    async def emails(self, schedule: str) -> frozenset[str]:
        """Who is on call in one schedule now. Raises `CannotRead`."""
        ...

    async def close(self) -> None: ...


class People(Protocol):
    """Slack, as far as it is asked about people."""

    async def profile(self, user: str) -> Profile: ...

    async def group_members(self, group: str) -> frozenset[str]: ...

    async def user_by_email(self, email: str) -> str | None: ...


class PagerDuty:
    """`GET /oncalls` of PagerDuty's REST API, version 2, with a read-only key.

    Source: developer.pagerduty.com, "List all of the on-calls".
    """

    name = PAGERDUTY

    def __init__(self, key: str, base_url: str, limits: HttpLimits) -> None:
        self._http = Http(base_url, limits)
        self._headers = {
            "Authorization": f"Token token={key}",
            "Accept": "application/vnd.pagerduty+json;version=2",
        }

    async def emails(self, schedule: str) -> frozenset[str]:
        query = {
            "schedule_ids[]": schedule,
            "include[]": "users",
            "earliest": "true",
            "limit": str(MOST_PEOPLE),
        }
        try:
            answer = await self._http.read("GET", "/oncalls", query=query, headers=self._headers)
        except NoAnswer as trouble:
            raise CannotRead(f"pagerduty_{trouble.code}") from None
        return read_on_calls(answer, schedule)

    async def close(self) -> None:
        await self._http.close()


def read_on_calls(answer: Answer, schedule: str) -> frozenset[str]:
    """The e-mail addresses in PagerDuty's answer. Pure.

    Raises `CannotRead` for whatever is not the complete list of this very schedule: half a list could
    leave out the one who matters, and another schedule's people must not decide.
    """
    if answer.status != 200:
        raise CannotRead(f"pagerduty_http_{answer.status}")
    match answer.json_or_none():
        case {"oncalls": list(entries), "more": False}:
            return frozenset(_email(entry, schedule) for entry in entries)
        case _:
            raise CannotRead("pagerduty_unreadable")


def _email(entry: object, schedule: str) -> str:
    match entry:
        case {"schedule": {"id": str(of)}, "user": {"email": str(email)}} if of == schedule and "@" in email:
            return email
        case _:
            raise CannotRead("pagerduty_unreadable")


class Sources:
    """Slack's people and groups, and beside them the on-call lists. What the directory asks."""

    def __init__(self, slack: People, sources: Sequence[OnCallSource] = ()) -> None:
        self._slack = slack
        self._sources: Mapping[str, OnCallSource] = {source.name: source for source in sources}

    async def close(self) -> None:
        """Slack is closed by whoever opened it."""
        for source in self._sources.values():
            await source.close()

    async def profile(self, user: str) -> Profile:
        return await self._slack.profile(user)

    async def group_members(self, group: str) -> frozenset[str]:
        """The members by Slack user ID. Somebody on call without an account in Slack cannot click and is
        left out. Raises `SlackProblem` when the group or schedule cannot be read."""
        kind, colon, schedule = group.partition(":")
        if not colon:
            return await self._slack.group_members(group)
        source = self._sources.get(kind)
        if source is None:
            raise CannotRead(f"{kind}_not_set_up")
        emails = sorted(await source.emails(schedule))
        found = await asyncio.gather(*(self._slack.user_by_email(email) for email in emails))
        return frozenset(user for user in found if user is not None)
