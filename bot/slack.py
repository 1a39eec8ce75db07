"""Slack's Web API in the words of the bot: the few calls it makes, and what can go wrong with them.

One client, one session: no call is repeated behind our back (Slack's SDK re-sends a post whose answer
was lost), no redirect is followed, and a rate limit comes back with its waiting time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, TypeVar

from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
)
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

T = TypeVar("T")
CALL_TIMEOUT = ClientTimeout(total=10)
PAGE = 200
"""Messages asked for at once; Slack advises no more."""

AUTH_ERRORS = frozenset(
    {"invalid_auth", "token_revoked", "account_inactive", "token_expired", "not_authed", "missing_scope"}
)
GONE_ERRORS = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
BAD_PAYLOAD = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})
UNREACHABLE = frozenset({"user_not_in_channel", "channel_not_found", "not_in_channel", "is_archived"})

UNREADABLE = "unreadable_answer"

_ERROR_NAME = re.compile(r"[a-z0-9_]{1,60}")


class SlackProblem(Exception):
    """A call that did not work. `code` is Slack's own error name, or ours for a lost connection."""

    def __init__(self, code: str, retry_after: timedelta | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after

    @property
    def is_auth(self) -> bool:
        return self.code in AUTH_ERRORS


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the bot is in Slack."""

    team: str
    user: str
    bot: str
    app: str = ""
    enterprise: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What decides whether somebody may approve."""

    team: str
    is_deactivated: bool
    is_bot: bool
    is_guest: bool
    is_stranger: bool


@dataclass(frozen=True, slots=True)
class Posted:
    """A message as Slack keeps it."""

    ts: str
    text: str
    is_ours: bool
    """Slack says that this very app posted it."""
    thread: str = ""
    """The `ts` of the thread's top, for the top itself as well; empty where nobody has replied."""
    event_type: str = ""
    """Of the metadata that were posted with it; empty where there are none."""
    payload: Mapping[str, Any] = field(default_factory=dict)
    blocks: Sequence[Mapping[str, Any]] = ()


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def _refuse_redirects(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """A redirect would carry the token or the message to another host."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise ClientError("redirect refused")
    return response


class Slack:
    """The Web API. Build it inside the running loop, close it at the end."""

    def __init__(
        self,
        token: str,
        api_url: str,
        clock: Callable[[], datetime] = _utc_now,
        watch: Callable[[str, SlackProblem | None], None] = lambda _method, _problem: None,
    ) -> None:
        """`watch` is told of each call and what was wrong with its answer, if anything was."""
        self._clock = clock
        self._watch = watch
        self._me: Identity | None = None
        self.clock_offset: timedelta | None = None
        """How far `clock` is ahead of Slack's, by its latest answer and to about a second, plus half of
        the time which that answer took; None until there was one."""
        self.scopes: frozenset[str] | None = None
        """What the token may do, by Slack's latest answer; None where Slack did not say."""
        self.session = ClientSession(
            timeout=CALL_TIMEOUT, middlewares=(_refuse_redirects, self._compare_clocks)
        )
        self.client = AsyncWebClient(token=token, base_url=api_url, session=self.session, retry_handlers=[])

    async def close(self) -> None:
        await self.session.close()

    async def whoami(self) -> Identity:
        me = await self._call("auth.test", {})
        team, user, bot = (_part(me, name, str) for name in ("team_id", "user_id", "bot_id"))
        found = _part(await self._read("bots.info", {"bot": bot}), "bot", dict)
        self._me = Identity(team, user, bot, str(found.get("app_id", "")), me.get("enterprise_id") or "")
        return self._me

    async def open_connection(self) -> None:
        """Ask for the address of a Socket Mode connection, as only an app-level token may, and leave it."""
        await self._call("apps.connections.open", {})

    async def post(
        self,
        channel: str,
        text: str,
        *,
        blocks: Sequence[Mapping[str, Any]] | None = None,
        thread: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> tuple[str, str]:
        """Post a message; returns channel and timestamp. Links are never previewed: a preview fetches
        them, and two providers cancel on a GET."""
        arguments = {
            "channel": channel,
            "text": text,
            "blocks": blocks,
            "thread_ts": thread,
            "metadata": metadata,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        answer = await self._call("chat.postMessage", arguments)
        return _part(answer, "channel", str), _part(answer, "ts", str)

    async def update(
        self,
        channel: str,
        ts: str,
        text: str,
        *,
        blocks: Sequence[Mapping[str, Any]],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        arguments = {"channel": channel, "ts": ts, "text": text, "blocks": blocks, "metadata": metadata}
        await self._call("chat.update", arguments)

    async def whisper(self, channel: str, user: str, text: str) -> None:
        """Tell one person something that only they see."""
        await self._call("chat.postEphemeral", {"channel": channel, "user": user, "text": text})

    async def open_view(self, trigger_id: str, view: Mapping[str, Any]) -> None:
        await self._call("views.open", {"trigger_id": trigger_id, "view": view})

    async def update_view(self, view_id: str, view_hash: str, view: Mapping[str, Any]) -> None:
        await self._call("views.update", {"view_id": view_id, "hash": view_hash, "view": view})

    async def publish_home(self, user: str, view: Mapping[str, Any]) -> None:
        """Show `view` as somebody's App Home."""
        await self._call("views.publish", {"user_id": user, "view": view})

    async def profile(self, user: str) -> Profile:
        found = _part(await self._read("users.info", {"user": user}), "user", dict)
        return Profile(
            team=found.get("team_id") or "",
            is_deactivated=bool(found.get("deleted")),
            is_bot=bool(found.get("is_bot") or found.get("is_workflow_bot")),
            is_guest=bool(found.get("is_restricted") or found.get("is_ultra_restricted")),
            is_stranger=bool(found.get("is_stranger")),
        )

    async def permalink(self, channel: str, ts: str) -> str:
        """A link to a message; empty when Slack does not give it within a second: nobody waits for it."""
        try:
            async with asyncio.timeout(1.0):
                answer = await self._read("chat.getPermalink", {"channel": channel, "message_ts": ts})
        except (SlackProblem, TimeoutError):
            return ""
        return str(answer.get("permalink") or "")

    async def user_by_email(self, email: str) -> str | None:
        """The ID of the one account with this address; None when there is none."""
        try:
            found = await self._read("users.lookupByEmail", {"email": email})
        except SlackProblem as problem:
            if problem.code == "users_not_found":
                return None
            raise
        return _part(_part(found, "user", dict), "id", str)

    async def group_members(self, group: str) -> frozenset[str]:
        answer = await self._read("usergroups.users.list", {"usergroup": group})
        return frozenset(str(user) for user in _part(answer, "users", list))

    async def history(
        self, channel: str, *, limit: int = PAGE, oldest: str | None = None, latest: str | None = None
    ) -> list[Posted]:
        """The newest `limit` messages that are no replies, the newest first; with `oldest` or `latest`,
        those after or before that `ts`."""
        arguments = {"channel": channel, "oldest": oldest, "latest": latest}
        return await self._read_messages("conversations.history", arguments, limit)

    async def replies(
        self, channel: str, ts: str, *, limit: int = 1000, oldest: str | None = None
    ) -> list[Posted]:
        """A thread, the oldest first and its top in front; with `oldest`, what came after that `ts`.

        Raises `SlackProblem("thread_not_found")` where nothing is left of it.
        """
        arguments = {"channel": channel, "ts": ts, "oldest": oldest}
        return await self._read_messages("conversations.replies", arguments, limit)

    async def _read_messages(self, method: str, arguments: Mapping[str, Any], limit: int) -> list[Posted]:
        me = self._me or await self.whoami()
        found: list[Posted] = []
        cursor: str | None = None
        while len(found) < limit:
            page = {"limit": min(PAGE, limit - len(found)), "cursor": cursor, "include_all_metadata": True}
            answer = await self._read(method, {**arguments, **page})
            found += [_posted(message, me) for message in answer.get("messages") or ()]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
        return found

    async def _read(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A method that only reads: most of them overlook a JSON body, and answer as if nothing was asked."""
        return await self._call(method, arguments, body="params", verb="GET")

    async def _call(
        self, method: str, arguments: Mapping[str, Any], body: str = "json", verb: str = "POST"
    ) -> dict[str, Any]:
        try:
            answer = await self._answer(method, arguments, body, verb)
        except SlackProblem as problem:
            self._watch(method, problem)
            raise
        self._watch(method, None)
        return answer

    async def _answer(
        self, method: str, arguments: Mapping[str, Any], body: str, verb: str
    ) -> dict[str, Any]:
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            answer = await self.client.api_call(method, http_verb=verb, **{body: given})
        except SlackApiError as refused:
            raise _translate(refused) from None
        except (AttributeError, TypeError, ValueError):
            raise SlackProblem(UNREADABLE) from None  # the SDK trips over what is not JSON
        except (ClientError, SlackClientError, TimeoutError, OSError) as lost:
            raise SlackProblem(f"no_answer_{type(lost).__name__}") from None
        self.scopes = _scopes(answer.headers) or self.scopes
        return dict(answer.data) if isinstance(answer.data, dict) else {}

    async def _compare_clocks(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Hold the `Date` of every answer against our clock, at the middle of the call."""
        before = self._clock()
        response = await handler(request)
        took = self._clock() - before
        theirs = _date(response.headers.get("Date", ""))
        if theirs is not None and timedelta(0) <= took <= timedelta(seconds=CALL_TIMEOUT.total or 0):
            self.clock_offset = before + took / 2 - theirs
        return response


def _part(answer: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """What every such answer has. One without it says nothing, whatever else it says."""
    found = answer.get(name)
    if not isinstance(found, kind):
        raise SlackProblem(UNREADABLE)
    return found


@lru_cache(maxsize=1)  # within a second all answers have the same
def _date(header: str) -> datetime | None:
    """The time that a `Date` header most likely means; it leaves out what is less than a second."""
    try:
        return parsedate_to_datetime(header).astimezone(UTC) + timedelta(seconds=0.5)
    except (ValueError, OverflowError):
        return None


def _scopes(headers: Mapping[str, str]) -> frozenset[str] | None:
    given = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), None)
    return None if given is None else frozenset(filter(None, map(str.strip, given.split(","))))


def _posted(message: Mapping[str, Any], me: Identity) -> Posted:
    metadata = message.get("metadata") or {}
    is_ours = message.get("bot_id") == me.bot or bool(me.app and message.get("app_id") == me.app)
    return Posted(
        ts=str(message.get("ts") or ""),
        text=str(message.get("text") or ""),
        is_ours=is_ours,
        thread=str(message.get("thread_ts") or ""),
        event_type=str(metadata.get("event_type") or ""),
        payload=metadata.get("event_payload") or {},
        blocks=message.get("blocks") or (),
    )


def _translate(refused: SlackApiError) -> SlackProblem:
    response = refused.response
    if isinstance(response, ClientResponse):  # as it came: the SDK could not read it
        if response.status == 429:
            return SlackProblem("ratelimited", _waiting_time(response.headers))
        return SlackProblem(UNREADABLE)
    data = response.data if isinstance(response.data, dict) else {}
    code = str(data.get("error") or f"http_{response.status_code}")
    if not _ERROR_NAME.fullmatch(code):
        code = "unnamed_error"  # it is stored and shown, and whatever this is may repeat what was sent
    if response.status_code != 429 and code != "ratelimited":
        return SlackProblem(code)
    return SlackProblem("ratelimited", _waiting_time(response.headers))


def _waiting_time(headers: Mapping[str, str]) -> timedelta:
    """Slack's `Retry-After` in seconds, kept between one second and an hour; one minute if absent."""
    given = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    seconds = int(given) if given.isascii() and given.isdigit() and len(given) < 9 else 60
    return timedelta(seconds=min(max(seconds, 1), 3600))
