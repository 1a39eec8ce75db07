"""Who may approve right now: what Slack, and who is on call, say about people; never older than a minute.

A directory that cannot be read is not an empty one. It means "cannot tell", and nothing executes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Generic, Protocol, TypeVar

from bot.logs import get_logger
from bot.model import Eligibility, Person, Verdict
from bot.slack import Profile, SlackProblem
from providers import fence

FRESH = 60.0
"""Seconds for which an answer of Slack's counts."""
REFRESH_EVERY = 40.0
REFRESHED_AT_ONCE = 40
"""People who are asked about in one refresh: Slack bears about a hundred such calls a minute. Who is not
known when they click is asked about then."""

PROFILES = "profiles"
A_MOMENT = 1.0
"""Seconds that somebody waits for what Slack says about them."""

log = get_logger(__name__)

T = TypeVar("T")
Seconds = Callable[[], float]


class Source(Protocol):
    async def profile(self, user: str) -> Profile: ...

    async def group_members(self, group: str) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class _Known(Generic[T]):
    value: T
    at: float


class Directory:
    """A cache over Slack's answers. `known` never waits; `judge` asks where the cache is too old."""

    def __init__(self, source: Source, team: str, seconds: Seconds = fence.elapsed) -> None:
        """`seconds`: that passed, by a clock that also runs while the machine is suspended."""
        self._source = source
        self._team = team
        self._seconds = seconds
        self._profiles: dict[str, _Known[Profile | None]] = {}
        self._groups: dict[str, _Known[frozenset[str]]] = {}
        self._silent_until: dict[str, float] = {}
        """Until when nobody is asked: people, groups, or an on-call source."""
        self._meeting: set[asyncio.Task[None]] = set()

    def known(
        self, person: Person, *lists: Iterable[str], max_age: float = FRESH, of: str = "approvers"
    ) -> Verdict:
        """Whether `person` is on each of `lists` and a full member, as far as is known by now. `of`: whom
        they list, for the reason."""
        memberships = [self._membership(person, names, max_age, of) for names in lists]
        for verdict in (*memberships, self._standing(person, max_age)):
            if verdict.answer is Eligibility.NOT_ELIGIBLE:
                return verdict
        for verdict in (*memberships, self._standing(person, max_age)):
            if verdict.answer is Eligibility.CANNOT_TELL:
                return verdict
        return memberships[0] if memberships else self._standing(person, max_age)

    def possible(self, names: Iterable[str], team: str) -> frozenset[str] | None:
        """Who of a list could approve, by Slack user ID; None where that is not known of everybody."""
        people: set[str] = set()
        for name in names:
            known = self._fresh(self._groups, name, FRESH) if _is_group(name) else None
            if _is_group(name) and known is None:
                return None
            people |= known.value if known is not None else {name}
        verdicts = [self._standing(Person(team, user), FRESH) for user in people]
        if any(verdict.answer is Eligibility.CANNOT_TELL for verdict in verdicts):
            return None
        return frozenset(v.person.user for v in verdicts if v.answer is Eligibility.ELIGIBLE)

    def everybody(self, names: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
        """Who is on a list, by Slack user ID, and the groups of it that could not be read."""
        people: set[str] = set()
        unread: list[str] = []
        for name in names:
            known = self._fresh(self._groups, name, FRESH) if _is_group(name) else None
            if _is_group(name) and known is None:
                unread.append(name)
            else:
                people |= known.value if known is not None else {name}
        return frozenset(people), tuple(unread)

    def standing(self, person: Person) -> Verdict:
        """Whether somebody is a full member, whatever list they are on, as far as is known by now."""
        return self._standing(person, FRESH)

    def spelled_out(self, names: Iterable[str]) -> tuple[str, ...]:
        """The same list with people in place of on-call schedules, where it is known who that is now."""
        found: list[str] = []
        for name in names:
            known = self._fresh(self._groups, name, FRESH) if ":" in name else None
            found += sorted(known.value) if known is not None and known.value else [name]
        return tuple(dict.fromkeys(found))

    async def judge(self, person: Person, *lists: Iterable[str], max_age: float = FRESH) -> Verdict:
        """The same, after asking Slack for what is missing or older than `max_age` seconds."""
        await self._learn([person.user], {name for names in lists for name in names}, max_age)
        # What was just fetched counts even if fetching took longer than `max_age`.
        return self.known(person, *lists, max_age=FRESH)

    async def ask(self, people: Iterable[Person], *lists: Iterable[str], max_age: float = 0.0) -> None:
        """Ask Slack about these people and lists now, unless it said so within `max_age` seconds. What cannot
        be read ages on."""
        await self._learn([one.user for one in people], {name for names in lists for name in names}, max_age)

    async def meet(self, person: Person, max_age: float = FRESH) -> None:
        """Somebody is here and has to be known: ask about them, unless Slack said who they are within
        `max_age` seconds. They wait for a moment; an answer that comes later counts for their next try."""
        if self._fresh(self._profiles, person.user, max_age) is None:
            asking = asyncio.create_task(self._ask_profile(person.user))
            self._meeting.add(asking)
            asking.add_done_callback(self._met)
            await asyncio.wait([asking], timeout=A_MOMENT)

    def is_present(self, person: Person, max_age: float = FRESH) -> Eligibility:
        """Whether somebody still belongs to the workspace, as far as is known by now."""
        known = self._fresh(self._profiles, person.user, max_age)
        if known is None:
            return Eligibility.CANNOT_TELL
        profile = known.value
        gone = profile is None or profile.is_deactivated or profile.is_stranger
        return Eligibility.NOT_ELIGIBLE if gone else Eligibility.ELIGIBLE

    def is_nobody(self, person: Person) -> bool:
        """Whether Slack said that there is no such person; False where it was not asked or did not say."""
        known = self._fresh(self._profiles, person.user, FRESH)
        return known is not None and known.value is None

    async def refresh(self, *lists: Iterable[str], at_most: int | None = None) -> None:
        """Ask anew about every group, every listed person and every member of a listed group; about so many
        people at most, those first of whom nothing was heard for longest."""
        names = {name for names in lists for name in names}
        await self._learn([], names, 0.0)
        people = {name for name in names if not _is_group(name)}
        for group in filter(_is_group, names):
            if known := self._groups.get(group):
                people |= known.value
        unheard = sorted(people, key=lambda user: (self._heard_at(user), user))
        await self._learn(unheard[:at_most], (), 0.0)

    def _membership(self, person: Person, names: Iterable[str], max_age: float, of: str) -> Verdict:
        names = tuple(names)
        if person.user in names:
            return Verdict(person, Eligibility.ELIGIBLE, "on the list by name")
        unread = ""
        for group in filter(_is_group, names):
            known = self._fresh(self._groups, group, max_age)
            if known is None:
                unread = group
            elif person.user in known.value:
                return Verdict(person, Eligibility.ELIGIBLE, _how(group))
        if unread:
            return Verdict(person, Eligibility.CANNOT_TELL, f"{_source(unread)} could not be read")
        return Verdict(person, Eligibility.NOT_ELIGIBLE, f"not on the list of {of}")

    def _standing(self, person: Person, max_age: float) -> Verdict:
        if person.team != self._team:
            return Verdict(person, Eligibility.NOT_ELIGIBLE, "from another workspace")
        known = self._fresh(self._profiles, person.user, max_age)
        if known is None:
            return Verdict(person, Eligibility.CANNOT_TELL, "the profile could not be read from Slack")
        why = _why_not(known.value, self._team)
        answer = Eligibility.NOT_ELIGIBLE if why else Eligibility.ELIGIBLE
        return Verdict(person, answer, why or "a full member of the workspace")

    async def _learn(self, users: Iterable[str], names: Iterable[str], max_age: float) -> None:
        asks: list[Awaitable[None]] = []
        for group in filter(_is_group, names):
            if self._fresh(self._groups, group, max_age) is None:
                asks.append(self._ask_group(group))
        for user in users:
            if self._fresh(self._profiles, user, max_age) is None:
                asks.append(self._ask_profile(user))
        await asyncio.gather(*asks)

    async def _ask_group(self, group: str) -> None:
        at, whom = self._seconds(), _source(group)
        if at < self._silent_until.get(whom, at):
            return
        try:
            _keep(self._groups, group, await self._source.group_members(group), at)
        except SlackProblem as problem:
            self._heed(problem, whom)
            if problem.is_auth:  # we are told nothing any more; otherwise the old answer ages
                self._groups.pop(group, None)

    async def _ask_profile(self, user: str) -> None:
        at = self._seconds()
        if at < self._silent_until.get(PROFILES, at):
            return
        try:
            _keep(self._profiles, user, await self._source.profile(user), at)
        except SlackProblem as problem:
            self._heed(problem, PROFILES)
            if problem.code in {"user_not_found", "user_not_visible"}:
                _keep(self._profiles, user, None, at)
            if problem.is_auth:
                self._profiles.pop(user, None)

    def _met(self, asking: asyncio.Task[None]) -> None:
        self._meeting.discard(asking)
        if not asking.cancelled() and (problem := asking.exception()):
            log.error("directory_not_asked", exc_info=problem)

    def _heed(self, problem: SlackProblem, whom: str) -> None:
        """A minute of calls that are refused would only prolong it."""
        if problem.retry_after is not None:
            self._silent_until[whom] = self._seconds() + problem.retry_after.total_seconds()

    def _heard_at(self, user: str) -> float:
        known = self._profiles.get(user)
        return known.at if known is not None else -inf

    def _fresh(self, cache: Mapping[str, _Known[T]], name: str, max_age: float) -> _Known[T] | None:
        known = cache.get(name)
        return known if known is not None and self._seconds() - known.at < max_age else None


def _keep(cache: dict[str, _Known[T]], name: str, value: T, at: float) -> None:
    """Answers may overtake each other: the one to the latest question is the newest."""
    if name not in cache or cache[name].at <= at:
        cache[name] = _Known(value, at)


def _is_group(name: str) -> bool:
    """A Slack user group (`S…`), or a schedule of an on-call source (`pagerduty:…`)."""
    return name.startswith("S") or ":" in name


def _how(group: str) -> str:
    """By which source somebody is on the list: this stands in the history."""
    source, colon, schedule = group.partition(":")
    return f"on call in {source} schedule {schedule}" if colon else f"member of the user group {group}"


def _source(group: str) -> str:
    return "the on-call schedule" if ":" in group else "the user group"


def _why_not(profile: Profile | None, team: str) -> str:
    if profile is None:
        return "not a member of this workspace"
    if profile.is_deactivated:
        return "a deactivated account"
    if profile.is_bot:
        return "a bot"
    if profile.is_guest:
        return "a guest"
    if profile.is_stranger or (profile.team and profile.team != team):
        return "from another workspace"
    return ""
