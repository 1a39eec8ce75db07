"""Slack's Web API in the words of the bot: the few calls it makes, and what can go wrong with them.

One client, one session: no call is repeated behind our back (Slack's SDK re-sends a post whose answer
was lost), no redirect is followed, and a rate limit comes back with its waiting time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

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

CALL_TIMEOUT = ClientTimeout(total=10)

AUTH_ERRORS = frozenset(
    {"invalid_auth", "token_revoked", "account_inactive", "token_expired", "not_authed", "missing_scope"}
)
GONE_ERRORS = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
BAD_PAYLOAD = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})
UNREACHABLE = frozenset({"user_not_in_channel", "channel_not_found", "not_in_channel", "is_archived"})

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


async def _refuse_redirects(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """A redirect would carry the token or the message to another host."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise ClientError("redirect refused")
    return response


class Slack:
    """The Web API. Build it inside the running loop, close it at the end."""

    def __init__(self, token: str, api_url: str) -> None:
        self.session = ClientSession(timeout=CALL_TIMEOUT, middlewares=(_refuse_redirects,))
        self.client = AsyncWebClient(token=token, base_url=api_url, session=self.session, retry_handlers=[])

    async def close(self) -> None:
        await self.session.close()

    async def whoami(self) -> Identity:
        me = await self._call("auth.test", {})
        bot = await self._call("bots.info", {"bot": me["bot_id"]})
        app = str(bot.get("bot", {}).get("app_id", ""))
        return Identity(me["team_id"], me["user_id"], me["bot_id"], app, me.get("enterprise_id") or "")

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
        return answer["channel"], answer["ts"]

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

    async def profile(self, user: str) -> Profile:
        found = (await self._call("users.info", {"user": user}))["user"]
        return Profile(
            team=found.get("team_id") or "",
            is_deactivated=bool(found.get("deleted")),
            is_bot=bool(found.get("is_bot") or found.get("is_workflow_bot")),
            is_guest=bool(found.get("is_restricted") or found.get("is_ultra_restricted")),
            is_stranger=bool(found.get("is_stranger")),
        )

    async def group_members(self, group: str) -> frozenset[str]:
        answer = await self._call("usergroups.users.list", {"usergroup": group})
        return frozenset(answer["users"])

    async def _call(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            answer = await self.client.api_call(method, json=given)
        except SlackApiError as refused:
            raise _translate(refused) from None
        except (AttributeError, TypeError, ValueError):
            raise SlackProblem("unreadable_answer") from None  # the SDK trips over what is not JSON
        except (ClientError, SlackClientError, TimeoutError, OSError) as lost:
            raise SlackProblem(f"no_answer_{type(lost).__name__}") from None
        return dict(answer.data) if isinstance(answer.data, dict) else {}


def _translate(refused: SlackApiError) -> SlackProblem:
    response = refused.response
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
